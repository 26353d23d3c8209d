"""Checkpoints: the signed head of a log, opened and checked to be of the log it is expected from.

Pure: bytes in, values out. A checkpoint carries no time; how fresh it is, only the cosignatures in its note tell.

Source: c2sp.org/tlog-checkpoint.
"""

from collections.abc import Sequence

from tallystick_ledger.errors import SignatureRejected
from tallystick_ledger.tlog.cosignature import ed25519_message, ml_dsa_44_message, subtree_message
from tallystick_ledger.tlog.head import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.note import OpenedNote, open_note

__all__ = [
    "Checkpoint",
    "ed25519_message",
    "ml_dsa_44_message",
    "open_checkpoint",
    "parse_checkpoint_body",
    "subtree_message",
]


def open_checkpoint(
    raw: bytes, *, origin: str, keys: Sequence[VerifierKey], cosigners: Sequence[VerifierKey] = ()
) -> tuple[Checkpoint, OpenedNote]:
    """Return what the log `origin` signed, and the note with all who signed it.

    A log's keys are those of `keys` that bear its origin as their name; one of them must have signed, so a checkpoint
    that only its witnesses vouch for does not open.

    Args:
        raw: the whole note.
        origin: the log whose checkpoint this must be.
        keys: keys of the log, and of others that are known not to bear its name.
        cosigners: keys whose lines are to be checked as well, and are never the log's, whatever name they bear.

    Raises:
        NoteMalformed: the bytes are not a note, or its text is no checkpoint.
        SignatureRejected: see `open_note`; or the checkpoint is of another log, or not signed by the log itself.
    """
    opened = open_note(raw, [*keys, *cosigners])
    checkpoint = parse_checkpoint_body(opened.body)
    if checkpoint.origin != origin:
        raise _rejected("The checkpoint is of another log.")
    if all(each.key.name != origin or each.key not in keys for each in opened.verified):
        raise _rejected("The checkpoint is not signed by the log itself.")
    return checkpoint, opened


def _rejected(problem: str) -> SignatureRejected:
    return SignatureRejected(problem, remedy="Ask the log for its checkpoint again, and check its origin and key.")
