"""Is the log what its signed head says? Signatures, every bundle, every tile of every level, the root, no file more.

head     who signed the checkpoint
listing  no file more than a log of that size has
files    one file of a log held against what it must be
span     a run of bundles, checked alone: the unit of work that may go to another process
crew     who does the work, and how much of it is on its way at once
ahead    the spans of one log and of those behind it, some on their way before it is their turn
tree     the whole: spans in order, the levels above them, the root

What is wrong is a finding and never an error, so that a hostile log is audited to its end like any other.

Source: c2sp.org/tlog-tiles, c2sp.org/tlog-checkpoint; RFC 6962 section 2.1; LEDGER-FORMATS section 10.
"""

from tallystick.audit.integrity.ahead import Ahead, nobody
from tallystick.audit.integrity.crew import ALONE, Crew, open_crew
from tallystick.audit.integrity.head import Head, Signed, check_head
from tallystick.audit.integrity.span import Settle, Told
from tallystick.audit.integrity.tree import Point, Progress, TreeCheck, reader_of

__all__ = [
    "ALONE",
    "Ahead",
    "Crew",
    "Head",
    "Point",
    "Progress",
    "Settle",
    "Signed",
    "Told",
    "TreeCheck",
    "check_head",
    "nobody",
    "open_crew",
    "reader_of",
]
