"""`make demo`: two companies' nodes as two processes, a story played over real HTTP, and an audit of what it left.

proxy       the public address of a node, recording everything that crosses between partners
processes   the nodes, started and stopped; the clock of the story
town        two companies that trust each other, and how the story waits for them
people      who they are, when they train, and every private value that is put in
workouts    visits found in real workout files
story       the journey, act by act
leaks       private values looked for where others can see
crossed     what each company learned, read from the recording
reckoning   the end: audits, books, and the promises that were checked
report      report.json, report.html, private.json, and the summary on the screen
run         all of it, in order

Nothing of a node imports this folder, and it imports nothing of the tests.
"""
