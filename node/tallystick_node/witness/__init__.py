"""A witness that stands alone: its keys, the logs it knows, its memory, its server and its commands."""
