"""How fast Tallystick is, always against something else in the same run.

harness     rounds, medians, one JSON line a benchmark
goals       what each figure is to reach
logs        entries, a log in a folder, and a node's writer and publisher around a fresh database
servers     a PostgreSQL to measure on
appending   writing a log, what it takes in memory (measured, in a process of its own) and on disk
auditing    a log's integrity, and two partners' ledgers of a month (months)
proving     inclusion proofs, made and checked
consent     deciding, evaluating, and claims
month_end   closing a month of many members (members) at once
peers/      what ours is held against

No test asserts a time: machines differ, and share their cores. What is kept is the ratio.

Source: DESIGN section 7 (names, form of a line).
"""
