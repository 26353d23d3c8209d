"""A node's own log: written by one writer, published as static files, witnessed, and never forked."""
