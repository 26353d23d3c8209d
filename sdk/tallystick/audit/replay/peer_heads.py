"""The heads of other logs that a ledger says to have seen.

Kind `peer_head`, whose body has one member: `checkpoint`, the signed note as it was seen, with its text and the log's
own Ed25519 line. Whether the line is right, only somebody with the other log's keys can say.

Source: DESIGN section 4 (`peer_head`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tallystick_ledger.errors import NoteMalformed
from tallystick_ledger.replay import Finding
from tallystick_ledger.tlog.head import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.note import unchecked_text

PEER_HEAD_KIND = "peer_head"


@dataclass(frozen=True, slots=True)
class PeerHead:
    """One head that was seen.

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
    """Every head of another log that one ledger says to have seen.

    Attributes:
        seen: in the order of their entries.
        findings: what did not hold, in order.
    """

    seen: list[PeerHead] = field(default_factory=list[PeerHead])
    findings: list[Finding] = field(default_factory=list[Finding])

    def take(self, body: Mapping[str, Any], *, index: int, at_s: int) -> None:
        """Replay the `peer_head` entry at `index`."""
        try:
            self.seen.append(PeerHead(parse_checkpoint_body(unchecked_text(noted(body))), index, at_s))
        except NoteMalformed as error:
            self.findings.append(Finding("entry.malformed", f"entry {index}", error.problem))


def noted(body: Mapping[str, Any]) -> bytes:
    """Return the note in the body of a `peer_head` entry.

    Raises:
        NoteMalformed: the body is not of its form.
    """
    text = body.get("checkpoint")
    if set(body) != {"checkpoint"} or not isinstance(text, str):
        raise NoteMalformed("A peer's head has other members than it must have.", remedy="Write the note alone.")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise NoteMalformed("A peer's head is not UTF-8.", remedy="Write the note as it was signed.") from error
