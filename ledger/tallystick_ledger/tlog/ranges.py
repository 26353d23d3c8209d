"""Range proofs: one proof that several entries stand side by side in a log, for replies to batches and for auditors.

Pure: bytes in, bytes out. A range of n entries out of a tree of s leaves takes at most 2 log2(s) hashes, where a proof
for each entry takes n log2(s). Its shape follows from the range and the size alone, so no other shape is accepted.

Source: the compact ranges of transparency-dev/merkle (docs/compact_ranges.md): the leaves outside of a range are
covered by the siblings of its left and of its right border. Their order here is that of RFC 6962's audit paths, leaf
side first, left before right: the range proof of one leaf is its inclusion proof, byte for byte.
"""

from collections.abc import Sequence

from tallystick_ledger.errors import ProofRejected
from tallystick_ledger.tlog.hashing import HASH_SIZE_BYTES, node_hashes
from tallystick_ledger.tlog.merkle import SIZE_MAX

RANGE_HASHES_MAX = 2 * 62
"""The longest range proof there is: two on each level below the root's two children, in a tree 63 levels tall."""


def check_range(proof: Sequence[bytes], *, leaf_hashes: Sequence[bytes], start: int, size: int, root: bytes) -> None:
    """Return quietly if `proof` shows that the leaves stand side by side in the tree; raise if it does not.

    Args:
        proof: from `merkle.Prover.range` or a partner.
        leaf_hashes: hashes of the leaves in question, 32 bytes each, in order; at least one.
        start: zero-based position of the first of them.
        size: number of leaves the checkpoint claims.
        root: root hash from a checkpoint whose signature is already checked, 32 bytes.

    Raises:
        ProofRejected: the range is empty or reaches beyond the tree, the proof is of another shape, or leads to
            another root.
    """
    if not 0 <= start < start + len(leaf_hashes) <= size <= SIZE_MAX:
        raise _rejected("The range is empty, or reaches beyond the tree.")
    if any(len(each) != HASH_SIZE_BYTES for hashes in (proof, leaf_hashes, (root,)) for each in hashes):
        raise _rejected("A hash in the proof is not 32 bytes.")
    siblings = iter(proof)
    nodes, first, tree_last = list(leaf_hashes), start, size - 1
    while tree_last > 0:
        last = first + len(nodes) - 1
        try:
            if first % 2 == 1:
                nodes.insert(0, next(siblings))
            if last % 2 == 0 and last < tree_last:
                nodes.append(next(siblings))
        except StopIteration:
            raise _rejected("The proof is shorter than the tree is tall.") from None
        # The last node of a level without a right neighbour stands unchanged on the levels above.
        alone = nodes[-1:] if len(nodes) % 2 == 1 else []
        nodes, first, tree_last = node_hashes(nodes) + alone, first >> 1, tree_last >> 1
    if next(siblings, None) is not None:
        raise _rejected("The proof is longer than the tree is tall.")
    if nodes != [root]:
        raise _rejected("The proof leads to a different root.")


def _rejected(problem: str) -> ProofRejected:
    return ProofRejected(problem, remedy="Ask for the proof again; if it stays wrong, keep it and the checkpoint.")
