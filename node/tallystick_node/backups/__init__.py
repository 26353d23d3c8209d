"""Data backups: everything in a node's database, sealed under a key of custody that dies after seven days."""
