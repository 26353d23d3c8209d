"""Did the log show everybody the same? Heads that others saw, held against what the log shows here.

Source: DESIGN section 5 (P1); LEDGER-FORMATS section 10 (split view).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from tallystick.audit.exhibits import Exhibits, known_keys
from tallystick.audit.findings import Findings
from tallystick.audit.integrity import Head, reader_of
from tallystick.audit.source import CHECKPOINT, Source
from tallystick_ledger.errors import BadInput, TallyError
from tallystick_ledger.tlog.head import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.merkle import root_at
from tallystick_ledger.tlog.note import NOTE_SIZE_MAX_BYTES, unchecked_text

LOOKS_MAX = 3
LOOK_AGAIN_AFTER_S = 1.0
"""A witness cosigns a head before the log publishes it; so a log that shows less is looked at again."""


@dataclass(frozen=True, slots=True)
class SeenHead:
    """A head of a log that somebody else saw; the log's signature of it is checked.

    Attributes:
        note: as it was signed.
        by: who saw it, as findings name it.
    """

    checkpoint: Checkpoint
    note: bytes
    by: str


def check_seen(
    source: Source,
    head: Head,
    found: Findings,
    seen: Sequence[SeenHead],
    *,
    exhibits: Exhibits,
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Hold heads that others saw of a log against the one that it shows; what cannot be one log's is a finding.

    Args:
        source: the log, whose tiles lead to its head, or that is a finding already.
        head: what it shows.
        found: is told.
        seen: what others saw of it.
        exhibits: keeps two heads that contradict each other.
        pause: waits so many seconds.

    Raises:
        AuditNotRun: the log cannot be read any more.
    """
    looks = count(1)
    shown = head.checkpoint.size
    for each in sorted(seen, key=lambda each: each.checkpoint.size):
        while each.checkpoint.size > shown and next(looks) <= LOOKS_MAX:
            shown = max(shown, _shown_size(source))
            if each.checkpoint.size > shown:
                pause(LOOK_AGAIN_AFTER_S)
        size = each.checkpoint.size
        if size > shown:
            problem = f"{each.by} has seen a head of {size} entries; the log shows one of {shown}."
            found.add("P1.behind", CHECKPOINT, problem)
        elif _contradict(source, head, each):
            problem = f"{each.by} has seen another history of this log, in a head of {size} entries."
            found.add("P1.split_view", CHECKPOINT, problem)
            read = reader_of(source.files, max(size, head.checkpoint.size))
            exhibits.two_heads("P1.split_view", each.note, head.note, keys=known_keys(source), read=read)


def _contradict(source: Source, head: Head, seen: SeenHead) -> bool:
    """Return whether the log's tiles lead to one of the two heads, and not to the other."""
    ours, theirs = head.checkpoint, seen.checkpoint
    if ours.size == theirs.size:
        return ours.root != theirs.root
    read = reader_of(source.files, max(ours.size, theirs.size))
    try:
        return (root_at(ours.size, read) == ours.root) != (root_at(theirs.size, read) == theirs.root)
    except (LookupError, TallyError):
        return False  # tiles that cannot be read are findings of their own


def _shown_size(source: Source) -> int:
    """Return the size of the head that a log shows now, whoever signed it: it only serves to wait for it."""
    raw = source.files.read(CHECKPOINT, size_max_bytes=NOTE_SIZE_MAX_BYTES)
    try:
        return parse_checkpoint_body(unchecked_text(raw or b"")).size
    except BadInput:
        return 0
