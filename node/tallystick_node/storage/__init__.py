"""Rows and files underneath: databases of both kinds, their tables, turns and locks."""
