"""May a head take the place of the last one that was seen? Only one that continues it; else there is evidence.

Pure: what is remembered and what was shown go in, what to remember comes out, or an error that holds the evidence.

Source: c2sp.org/tlog-tiles, RFC 9162 section 2.1.4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tallystick.errors import NodeUnreachable, ReplyForged
from tallystick.evidence import EvidenceRejected, TwoHeads, two_heads
from tallystick_ledger.errors import BadInput, ProofRejected, SignatureRejected, TallyError
from tallystick_ledger.tlog.checkpoint import open_checkpoint
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.merkle import HashReader, check_consistency, prove_consistency


class LedgerForked(ReplyForged):
    """A log has signed two heads that no one history has.

    Attributes:
        proof: the evidence, for `tally verify` and for everybody; `proof.encode()` is the file.
        note: the head that was shown now.
    """

    def __init__(self, proof: TwoHeads, note: bytes) -> None:
        super().__init__(
            "A log has signed two histories.",
            remedy="Keep the evidence, stop relying on this log, and show both heads to its auditor.",
            code="ledger_forked",
            evidence=(proof.older, proof.newer),
        )
        self.proof = proof
        self.note = note


@dataclass(frozen=True, slots=True)
class SeenHead:
    """The last head that was seen of a log.

    Attributes:
        checkpoint: what it says.
        note: as it was signed.
        keys: those of the log that had signed it when it was seen, and may be revoked since. What a log has signed
            stays signed by it, or a liar could revoke the key of its first history.
    """

    checkpoint: Checkpoint
    note: bytes
    keys: tuple[VerifierKey, ...] = ()


def open_seen(note: bytes, *, origin: str, keys: Sequence[VerifierKey]) -> SeenHead:
    """Return a head that the log has signed.

    Raises:
        NoteMalformed, SignatureRejected: it is none.
    """
    checkpoint, opened = open_checkpoint(note, origin=origin, keys=keys)
    return SeenHead(checkpoint, note, tuple(each.key for each in opened.verified))


def follow(
    last: SeenHead | None,
    note: bytes,
    *,
    origin: str,
    keys: Sequence[VerifierKey],
    reader: Callable[[int], HashReader],
) -> SeenHead:
    """Return the head to remember: the one in `note` if it continues `last`, and `last` where it is older.

    Args:
        last: what is remembered; None where nothing is.
        note: what the log shows now.
        origin: of the log.
        keys: the log's keys as they are now; what is shown must be signed with one of these.
        reader: the hashes of the log's tree at a size, as the log serves them; what they say is believed once it
            leads to a signed head. Raises `LookupError` or a `TallyError` where there are none.

    Raises:
        LedgerForked: the two heads contradict each other; the evidence is in the error.
        ReplyForged: what is shown is not signed by the log, or the log cannot show how it continues what is
            remembered (code `growth_unproven`), or shows a smaller head that it cannot show to be part of it (code
            `log_rolled_back`).
        NodeUnreachable: the hashes did not come.
    """
    try:
        now = open_seen(note, origin=origin, keys=keys)
    except (BadInput, SignatureRejected) as error:
        raise ReplyForged(
            "A log shows a head that it has not signed.", remedy="Check its keys; if they are right, ask its operator."
        ) from error
    if last is None or last.checkpoint.size == 0:
        return now  # every log continues the empty one, and none of its heads shows anything
    if now.checkpoint.size == 0:
        raise _unproven(is_back=True)
    ever = tuple(dict.fromkeys((*keys, *last.keys)))
    older, newer = (last, now) if last.checkpoint.size <= now.checkpoint.size else (now, last)
    if older.checkpoint.size == newer.checkpoint.size:
        if older.checkpoint.root != newer.checkpoint.root:
            raise LedgerForked(TwoHeads(ever, last.note, note, now.checkpoint.root, ()), note)
        return last
    _require_growth(older, newer, note, keys=ever, reader=reader, is_back=newer is last)
    return newer


def _require_growth(
    older: SeenHead,
    newer: SeenHead,
    note: bytes,
    *,
    keys: Sequence[VerifierKey],
    reader: Callable[[int], HashReader],
    is_back: bool,
) -> None:
    """Raise unless the newer head is shown to continue the older one."""
    small, large = older.checkpoint, newer.checkpoint
    read = reader(large.size)
    try:
        proof = prove_consistency(small.size, new_size=large.size, read=read)
        check_consistency(proof, old_size=small.size, old_root=small.root, new_size=large.size, new_root=large.root)
    except ProofRejected:
        found = _fork(older, newer, keys=keys, read=read)
        if found is not None:
            raise LedgerForked(found, note) from None
        raise _unproven(is_back) from None
    except NodeUnreachable:
        raise
    except (LookupError, TallyError) as error:
        raise _unproven(is_back) from error


def _fork(older: SeenHead, newer: SeenHead, *, keys: Sequence[VerifierKey], read: HashReader) -> TwoHeads | None:
    """Return the evidence of a fork, None where the hashes lead to no signed head and so show nothing."""
    try:
        found = two_heads(older.note, newer.note, keys=keys, read=read)
        found.check(keys)
    except (LookupError, BadInput, EvidenceRejected):
        return None
    return found


def _unproven(is_back: bool) -> ReplyForged:
    if is_back:
        return ReplyForged(
            "A log shows a smaller head than before, and not how that is part of it.",
            remedy="Ask its operator whether it was restored from a backup; keep both heads.",
            code="log_rolled_back",
        )
    return ReplyForged(
        "A log's tiles do not show how its head continues the one before.",
        remedy="Look again; if it stays so, keep both heads, and ask its operator for a consistency proof.",
        code="growth_unproven",
    )
