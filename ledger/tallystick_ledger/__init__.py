"""Floor 1: what happened, provably. Bytes, hashes, keys, entries, double entry, replay.

Pure: nothing here opens a file, a socket, a database or the clock, and nothing here knows what consent means.
"""
