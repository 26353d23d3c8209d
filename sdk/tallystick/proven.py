"""What makes the proof service's answers believable: each must lead to a head that the node's log signed.

Pure. Each check raises; none returns whether.

Source: RFC 6962 section 2.1, draft-ietf-plants-merkle-tree-certs (subtrees), docs/protocol.md (Proofs).
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from tallystick.errors import ReplyForged, forged, require
from tallystick.verify import Verifier
from tallystick.wire import Consistency, EntryProof, EntryRange, Inclusions, SubtreeProof
from tallystick_ledger.encoding import from_base64
from tallystick_ledger.errors import TallyError
from tallystick_ledger.tlog.hashing import leaf_hash, leaf_hashes
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.merkle import PROOF_HASHES_MAX, check_consistency, check_inclusion
from tallystick_ledger.tlog.proof import InclusionProof
from tallystick_ledger.tlog.ranges import RANGE_HASHES_MAX, check_range
from tallystick_ledger.tlog.subtree import check_subtree_consistency


def check_inclusions(told: Inclusions, verifier: Verifier, *, indexes: Sequence[int]) -> None:
    """Return quietly if just these entries are shown to stand at just these places.

    Raises:
        ReplyForged: they are not.
    """
    require([each.index for each in told.inclusions] == list(indexes), "The node proved other entries than those.")
    with _refusing():
        head = verifier.check_head(told.checkpoint.encode())
        for each in told.inclusions:
            entry = _text(each.entry)
            hashes = _hashes(each.hashes, PROOF_HASHES_MAX)
            check_inclusion(hashes, leaf_hash=leaf_hash(entry), index=each.index, size=head.size, root=head.root)


def proof_file(told: Inclusions, *, stated: EntryProof) -> EntryProof:
    """Return what an answer says of an entry that the caller has, as a `.tlog-proof` file; nothing of it is checked.

    Args:
        told: the answer for its place alone.
        stated: the entry and its place, such as the reply to a write had them.

    Raises:
        ReplyForged: the answer is for something else.
        BadInput: no such file can say that.
    """
    require([each.index for each in told.inclusions] == [stated.index], "The node proved other entries than those.")
    hashes = tuple(_hashes(told.inclusions[0].hashes, PROOF_HASHES_MAX))
    proof = InclusionProof(stated.index, hashes, told.checkpoint.encode())
    return EntryProof(index=stated.index, entry=stated.entry, proof=proof.encode().decode())


def check_entry_range(told: EntryRange, verifier: Verifier, *, start: int, end: int) -> None:
    """Return quietly if the entries are shown to be those of [start, end).

    Raises:
        ReplyForged: they are not.
    """
    require((told.start, len(told.entries)) == (start, end - start), "The node proved other entries than those.")
    with _refusing():
        head = verifier.check_head(told.checkpoint.encode())
        leaves = leaf_hashes([_text(entry) for entry in told.entries])
        hashes = _hashes(told.hashes, RANGE_HASHES_MAX)
        check_range(hashes, leaf_hashes=leaves, start=start, size=head.size, root=head.root)


def check_consistent(told: Consistency, verifier: Verifier, *, old: Checkpoint, new: Checkpoint | None) -> None:
    """Return quietly if `old` is shown to be the start of `new`, or of the published head where that is None.

    Raises:
        ReplyForged: it is not; nobody has shown then that the log only grew.
    """
    with _refusing():
        head = verifier.check_head(told.checkpoint.encode())
        until = head if new is None else new
        require((told.old_size, told.new_size) == (old.size, until.size), "The node compared other sizes than those.")
        require(head.origin == until.origin == old.origin, "The heads are of different logs.")
        hashes = _hashes(told.hashes, PROOF_HASHES_MAX)
        check_consistency(hashes, old_size=old.size, old_root=old.root, new_size=until.size, new_root=until.root)


def check_subtree(told: SubtreeProof, verifier: Verifier, *, start: int, end: int) -> None:
    """Return quietly if the subtree of this hash is shown to stand in the published tree.

    Raises:
        ReplyForged: it is not.
    """
    require((told.start, told.end) == (start, end), "The node proved another subtree than that.")
    with _refusing():
        head = verifier.check_head(told.checkpoint.encode())
        hashes = _hashes(told.hashes, PROOF_HASHES_MAX + 1)
        (subtree,) = _hashes((told.hash,), 1)
        check_subtree_consistency(hashes, start=start, end=end, subtree=subtree, size=head.size, root=head.root)


def _text(entry: str | None) -> bytes:
    require(entry is not None, "The node proved an entry and does not show it.")
    assert entry is not None, "required above"
    return entry.encode()


def _hashes(texts: Sequence[str], most: int) -> list[bytes]:
    require(len(texts) <= most, "A proof has more hashes than any can have.")
    return [from_base64(text) for text in texts]


@contextmanager
def _refusing() -> Generator[None]:
    try:
        yield
    except ReplyForged:
        raise
    except (TallyError, UnicodeError) as error:
        raise forged("The node's proof does not lead to a head that its log signed.") from error
