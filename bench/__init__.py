"""How fast Tallystick is, always against something else in the same run.

harness     rounds, medians, one JSON line a benchmark
goals       what each figure is to reach
logs        entries, a log in a folder, and a node's writer and publisher around a fresh database
ledger      writing, auditing and proving
consent     deciding, evaluating, and claims
peers/      what ours is held against

No test asserts a time: machines differ, and share their cores. What is kept is the ratio.

Source: DESIGN section 7 (names, form of a line).
"""
