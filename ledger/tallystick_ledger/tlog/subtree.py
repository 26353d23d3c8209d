"""Subtrees: a run of leaves with a hash of its own, shown to hold a leaf, and to stand in a larger tree.

A proof service answers for a run of entries with one subtree rather than a proof for each; a witness may sign one.
Pure: bytes in, bytes out.

Source: draft-ietf-plants-merkle-tree-certs (subtrees, subtree consistency proofs); c2sp.org/tlog-cosignature.
"""

from collections.abc import Sequence

from tallystick_ledger.errors import BadInput, ProofRejected
from tallystick_ledger.tlog.hashing import HASH_SIZE_BYTES, node_hash
from tallystick_ledger.tlog.merkle import (
    SIZE_MAX,
    HashReader,
    check_inclusion,
    prove_inclusion,
    range_hash,
)
from tallystick_ledger.tlog.merkle import is_subtree as is_subtree


def subtree_hash(start: int, end: int, read: HashReader) -> bytes:
    """Return the hash of a subtree, 32 bytes.

    Raises:
        BadInput: leaves [start, end) are no subtree.
    """
    _require_subtree(start, end)
    return range_hash(start, end, read)


def prove_subtree_inclusion(index: int, *, start: int, end: int, read: HashReader) -> list[bytes]:
    """Return the proof that a leaf stands in a subtree, leaf side first.

    Args:
        index: zero-based position of the leaf in the whole log.
        start: first leaf of the subtree.
        end: the leaf after its last.
        read: the log's hashes.

    Raises:
        BadInput: no subtree, or the leaf lies outside of it.
    """
    _require_subtree(start, end)
    if not start <= index < end:
        raise _unusable("The leaf lies outside the subtree.")

    def within(level: int, position: int) -> bytes:
        return read(level, (start >> level) + position)

    return prove_inclusion(index - start, size=end - start, read=within)


def prove_subtree_consistency(start: int, end: int, *, size: int, read: HashReader) -> list[bytes]:
    """Return the proof that a subtree stands in the tree of `size` leaves.

    Raises:
        BadInput: no subtree, or it reaches beyond the tree.
    """
    _require_subtree(start, end)
    if not end <= size <= SIZE_MAX:
        raise _unusable("The subtree reaches beyond the tree.")
    proof: list[bytes] = []
    # Walk down to the subtree, keeping what stands beside the way; the proof lists it from below.
    first, last, known = 0, size, True
    while (start, end) != (first, last):
        middle = first + (1 << (last - first - 1).bit_length() - 1)
        if end <= middle:
            proof.append(range_hash(middle, last, read))
            last = middle
            continue
        proof.append(range_hash(first, middle, read))
        if start < middle:
            # The subtree begins at `first` and ends right of the middle: of it, only its right end is followed.
            start, known = middle, False
        first = middle
    if not known:
        proof.append(range_hash(first, last, read))
    return proof[::-1]


def check_subtree_inclusion(
    proof: Sequence[bytes], *, leaf_hash: bytes, index: int, start: int, end: int, root: bytes
) -> None:
    """Return quietly if `proof` shows that the leaf stands in the subtree with the hash `root`.

    Raises:
        ProofRejected: no subtree, the leaf lies outside of it, or the proof leads elsewhere.
    """
    if not is_subtree(start, end):
        raise _rejected("The leaves are no subtree.")
    check_inclusion(proof, leaf_hash=leaf_hash, index=index - start, size=end - start, root=root)


def check_subtree_consistency(
    proof: Sequence[bytes], *, start: int, end: int, subtree: bytes, size: int, root: bytes
) -> None:
    """Return quietly if `proof` shows that the subtree stands in the tree of `size` leaves with the hash `root`.

    Args:
        proof: hashes from `prove_subtree_consistency` or a partner.
        start: first leaf of the subtree.
        end: the leaf after its last.
        subtree: its hash, 32 bytes.
        size: leaves in the tree.
        root: the tree's root hash, from a checkpoint whose signature is already checked, 32 bytes.

    Raises:
        ProofRejected: no subtree, it reaches beyond the tree, or the proof is of another shape or leads elsewhere.
    """
    if not is_subtree(start, end) or not end <= size <= SIZE_MAX:
        raise _rejected("The leaves are no subtree, or reach beyond the tree.")
    if any(len(each) != HASH_SIZE_BYTES for each in (*proof, subtree, root)):
        raise _rejected("A hash in the proof is not 32 bytes.")
    first, last, tree_last = start, end - 1, size - 1
    # Climb to where the subtree's last leaf is the right end of something complete, or the subtree is one node.
    while first != last and (last == tree_last or last % 2 == 1):
        first, last, tree_last = first >> 1, last >> 1, tree_last >> 1
    rest = list(proof)
    if first == last:
        begin = subtree
    elif rest:
        begin = rest.pop(0)
    else:
        raise _rejected("The proof is shorter than the tree is tall.")
    reached_subtree = reached_root = begin
    for sibling in rest:
        if tree_last == 0:
            raise _rejected("The proof is longer than the tree is tall.")
        if last % 2 == 1 or last == tree_last:
            if first < last:
                reached_subtree = node_hash(sibling, reached_subtree)
            reached_root = node_hash(sibling, reached_root)
            while last % 2 == 0:
                first, last, tree_last = first >> 1, last >> 1, tree_last >> 1
        else:
            reached_root = node_hash(reached_root, sibling)
        first, last, tree_last = first >> 1, last >> 1, tree_last >> 1
    if tree_last != 0:
        raise _rejected("The proof is shorter than the tree is tall.")
    if reached_subtree != subtree or reached_root != root:
        raise _rejected("The proof leads to another subtree or another root.")


def _require_subtree(start: int, end: int) -> None:
    if not is_subtree(start, end):
        raise _unusable("The leaves are no subtree.")


def _rejected(problem: str) -> ProofRejected:
    return ProofRejected(problem, remedy="Ask for the proof again, for a subtree and a tree whose roots you trust.")


def _unusable(problem: str) -> BadInput:
    return BadInput(problem, remedy="Ask for leaves [s, e) with s a multiple of the smallest power of two >= e - s.")
