"""What one company's log says it has seen of another's: the body of a `peer_head` entry.

Pure. The signed head of a partner's log stands in one's own, byte for byte, so that whoever audits both can hold them
against each other: a partner that shows its counterparties one history and its auditor another is caught. Only the
partner's own signature is kept, Ed25519 and 64 bytes; cosignatures are in the note that was published.

Source: DESIGN section 4 (`peer_head`), LEDGER-FORMATS section 10 (split view).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tallystick_ledger.errors import BadInput, EntryMalformed, NoteMalformed
from tallystick_ledger.tlog.head import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.keys import ED25519, VerifierKey
from tallystick_ledger.tlog.note import open_note, parse_lines, unchecked_text

NOTE_SIZE_MAX_BYTES = 4_096
"""Room for a head with one line, and for a few extension lines."""


@dataclass(frozen=True, slots=True)
class PeerHead:
    """The head of another log, as its own log signed it; unchecked where it comes from `parse_peer_head`.

    Attributes:
        checkpoint: what the note says.
        note: the checkpoint with one signature line, that of the log's own Ed25519 key.
    """

    checkpoint: Checkpoint
    note: bytes

    def body(self) -> dict[str, Any]:
        """Return the entry's body."""
        return {"checkpoint": self.note.decode()}


def peer_head(note: bytes, *, keys: Sequence[VerifierKey]) -> PeerHead:
    """Return what an entry says of the head in `note`, whose log's own line is checked here.

    Args:
        note: as it was published, with any number of lines.
        keys: the log's keys.

    Raises:
        NoteMalformed: no head, or one that is too large to be kept.
        SignatureRejected: no Ed25519 key of the log has signed it.
    """
    checkpoint = parse_checkpoint_body(unchecked_text(note))
    own = [key for key in keys if key.kind == ED25519 and key.name == checkpoint.origin]
    opened = open_note(note, own)
    signer = opened.verified[0].key
    (line,) = (each for each in opened.lines if (each.name, each.key_id) == (signer.name, signer.key_id))
    short = opened.body + b"\n" + line.text
    if len(short) > NOTE_SIZE_MAX_BYTES:
        raise NoteMalformed("A head is too large to be kept in an entry.", remedy="Write heads without extensions.")
    return PeerHead(checkpoint, short)


def parse_peer_head(body: Mapping[str, Any]) -> PeerHead:
    """Return the head in an entry's body; its signature is for whoever has the other log's keys.

    Raises:
        EntryMalformed: it is no head of a log with the one line of that log.
    """
    text = body.get("checkpoint")
    if set(body) != {"checkpoint"} or not isinstance(text, str) or len(text) > NOTE_SIZE_MAX_BYTES:
        raise _malformed("A peer_head entry has other members than a checkpoint.")
    try:
        note = text.encode()
        signed = unchecked_text(note)
        checkpoint, lines = parse_checkpoint_body(signed), parse_lines(note[len(signed) + 1 :])
    except (BadInput, UnicodeEncodeError) as error:
        raise _malformed("A peer_head entry holds no signed checkpoint.") from error
    if [line.name for line in lines] != [checkpoint.origin]:
        raise _malformed("A peer_head entry does not hold the one line of the log it is about.")
    return PeerHead(checkpoint, note)


def _malformed(problem: str) -> EntryMalformed:
    return EntryMalformed(problem, remedy="Write the body with tallystick_ledger.peer_head.peer_head.")
