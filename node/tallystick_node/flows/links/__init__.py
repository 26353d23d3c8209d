"""Links: two apps, one person logged in at both, and a secret that two nodes make together."""
