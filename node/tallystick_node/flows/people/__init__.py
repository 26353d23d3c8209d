"""People: who speaks for whom, and those who come without an app."""
