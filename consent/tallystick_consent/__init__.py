"""Floor 2: what may leave, for whom, why, until when. Receipts, rules, claims, and the replay of consent.

Pure: nothing here opens a file, a socket, a database or the clock.
"""
