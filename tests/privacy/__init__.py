"""What an outsider can tell from how a node behaves, measured over real nodes (P6, P11).

classifier  how well a number tells two kinds apart, and what can be learned from several
asks        questions about people that a node must not tell apart, and how long each answer took
month       a month of many people whom one gym knows, and two partners that share no link
matching    what two partners that pool all they saw can make of it

`python -m privacy` (with `tests` on the path) measures at full length and fails above the stated margins;
`make privacy` runs that. Timings are measured there and nowhere else: the tests hold shapes.
"""
