"""Is the log what its signed head says? Signatures, every bundle, every tile of every level, the root, no file more.

head     who signed the checkpoint
listing  no file more than a log of that size has
files    one file of a log held against what it must be
span     a run of bundles, checked alone: the unit of work that may go to another process
crew     who does the work, and how much of it is on its way at once
tree     the whole: spans in order, the levels above them, the root

What is wrong is a finding and never an error, so that a hostile log is audited to its end like any other.

Source: c2sp.org/tlog-tiles, c2sp.org/tlog-checkpoint; RFC 6962 section 2.1; LEDGER-FORMATS section 10.
"""

from tallystick.audit.integrity.crew import ALONE, Crew, open_crew
from tallystick.audit.integrity.head import Head, Signed, check_head
from tallystick.audit.integrity.tree import Point, Progress, TreeCheck, reader_of

__all__ = [
    "ALONE",
    "Crew",
    "Head",
    "Point",
    "Progress",
    "Signed",
    "TreeCheck",
    "check_head",
    "open_crew",
    "reader_of",
]
