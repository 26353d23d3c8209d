"""Claims: what is said in them, how they are signed, and whether they still stand."""
