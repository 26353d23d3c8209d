"""The messages that cosigners sign, and the timestamped signature that carries them in a note line.

Pure: values in, bytes out; the time is passed in. A cosigner says: at this time, this was the largest tree I had
seen of that log, and it is consistent with all I had seen before.

Source: c2sp.org/tlog-cosignature.
"""

from tallystick_ledger.errors import NoteMalformed
from tallystick_ledger.tlog.hashing import HASH_SIZE_BYTES
from tallystick_ledger.tlog.head import ORIGIN_SIZE_MAX_BYTES, parse_checkpoint_body
from tallystick_ledger.tlog.merkle import SIZE_MAX

TIMESTAMP_SIZE_BYTES = 8

TIMESTAMP_MAX_S = 2**63 - 1

NAME_SIZE_MAX_BYTES = 255
"""The longest cosigner name that fits the message of an ML-DSA-44 cosignature."""

_SUBTREE_LABEL = b"subtree/v1\n\x00"


def ed25519_message(body: bytes, *, timestamp_s: int) -> bytes:
    """Return what an Ed25519 cosigner (type 04) signs: two lines, then the checkpoint's text with its extensions.

    The cosigner's name is not in it, so one key must never serve two names.

    Args:
        body: text of the checkpoint, with its final newline.
        timestamp_s: seconds since 1970-01-01 UTC, 0 to 2^63 - 1.

    Raises:
        NoteMalformed: the text is no checkpoint; a cosigner signs nothing else.

    Source: c2sp.org/tlog-cosignature, "Ed25519 signed message".
    """
    parse_checkpoint_body(body)
    return b"cosignature/v1\ntime %d\n" % timestamp_s + body


def ml_dsa_44_message(body: bytes, *, name: str, timestamp_s: int) -> bytes:
    """Return what an ML-DSA-44 cosigner (type 06) signs for a checkpoint: the subtree over all its leaves.

    Args:
        body: text of the checkpoint, with its final newline; extension lines are not covered.
        name: the cosigner's key name.
        timestamp_s: seconds since 1970-01-01 UTC; 0 makes no claim that the tree was the largest seen.

    Raises:
        NoteMalformed: the text is no checkpoint.
    """
    checkpoint = parse_checkpoint_body(body)
    return subtree_message(
        name=name, timestamp_s=timestamp_s, origin=checkpoint.origin, start=0, end=checkpoint.size, root=checkpoint.root
    )


def subtree_message(*, name: str, timestamp_s: int, origin: str, start: int, end: int, root: bytes) -> bytes:
    """Return the `cosigned_message` structure of an ML-DSA-44 cosigner.

    Args:
        name: the cosigner's key name, 1 to 255 bytes.
        timestamp_s: seconds since 1970-01-01 UTC; must be 0 unless `start` is 0.
        origin: the log's origin, 1 to 255 bytes.
        start: index of the subtree's first leaf.
        end: one past its last leaf.
        root: hash of the subtree, 32 bytes.

    Raises:
        NoteMalformed: a value does not fit the structure.

    Source: c2sp.org/tlog-cosignature, "ML-DSA-44 signed message".
    """
    raw_name, raw_origin = name.encode(), origin.encode()
    if not (1 <= len(raw_name) <= NAME_SIZE_MAX_BYTES and 1 <= len(raw_origin) <= ORIGIN_SIZE_MAX_BYTES):
        raise _malformed("A cosigner's name or a log's origin is not 1 to 255 bytes.")
    if not (0 <= start <= end <= SIZE_MAX and len(root) == HASH_SIZE_BYTES and 0 <= timestamp_s <= TIMESTAMP_MAX_S):
        raise _malformed("A subtree, its hash or its time is out of range.")
    if start != 0 and timestamp_s != 0:
        raise _malformed("Only a whole tree can be the largest seen, so a later subtree has time 0.")
    return b"".join(
        (
            _SUBTREE_LABEL,
            len(raw_name).to_bytes(1, "big"),
            raw_name,
            timestamp_s.to_bytes(8, "big"),
            len(raw_origin).to_bytes(1, "big"),
            raw_origin,
            start.to_bytes(8, "big"),
            end.to_bytes(8, "big"),
            root,
        )
    )


def _malformed(problem: str) -> NoteMalformed:
    return NoteMalformed(problem, remedy="Cosign checkpoints and subtrees as c2sp.org/tlog-cosignature says.")
