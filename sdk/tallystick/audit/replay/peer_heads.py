"""The heads of other logs that a ledger says to have seen.

Whether an entry has the form of one, the ledger floor's replay says; whether the other log signed it, only somebody
with that log's keys can.

Source: DESIGN section 4 (`peer_head`).
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tallystick_ledger.errors import EntryMalformed
from tallystick_ledger.peer_head import parse_peer_head
from tallystick_ledger.tlog.head import Checkpoint

PEER_HEAD_KIND = "peer_head"


@dataclass(frozen=True, slots=True)
class SeenAt:
    """A head that was seen, and where the ledger says so.

    Attributes:
        checkpoint: the head; unchecked.
        index: of the entry that says so.
        at_s: when it was written, by the clock of whoever wrote it, seconds since 1970-01-01 UTC.
    """

    checkpoint: Checkpoint
    index: int
    at_s: int


@dataclass(slots=True)
class PeerHeads:
    """Every head of another log that one ledger says to have seen, in the order of their entries."""

    seen: list[SeenAt] = field(default_factory=list[SeenAt])

    def take(self, body: Mapping[str, Any], *, index: int, at_s: int) -> None:
        """Replay the `peer_head` entry at `index`."""
        with suppress(EntryMalformed):  # the ledger's replay has said so
            self.seen.append(SeenAt(parse_peer_head(body).checkpoint, index, at_s))
