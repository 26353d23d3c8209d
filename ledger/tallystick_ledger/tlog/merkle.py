"""Merkle tree hashes, inclusion proofs and consistency proofs.

Pure: bytes in, bytes out. No clock, disk, network or randomness, so an auditor can run this file alone and reach
the same answer as the node that wrote the log.

Provers read hashes through a `HashReader` and trust what they read; checkers trust nothing and raise.

Source: RFC 6962, section 2.1 (the tree and its proofs); RFC 9162, sections 2.1.3.2 and 2.1.4.2 (the checks).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

from tallystick_ledger.errors import BadInput, ProofRejected
from tallystick_ledger.tlog.hashing import EMPTY_ROOT as EMPTY_ROOT
from tallystick_ledger.tlog.hashing import HASH_SIZE_BYTES as HASH_SIZE_BYTES
from tallystick_ledger.tlog.hashing import NODE_PREFIX, in_use, node_hashes
from tallystick_ledger.tlog.hashing import node_hash as node_hash

SIZE_MAX = 2**63 - 1
"""The most leaves a tree may claim to have."""

PROOF_HASHES_MAX = 63
"""The longest inclusion proof there is, and the longest consistency proof that c2sp.org/tlog-witness takes: one could
be a hash longer only above 2^62 leaves."""

HashReader: TypeAlias = Callable[[int, int], bytes]
"""(level, index) -> hash of the complete subtree over the leaves [index << level, (index + 1) << level)."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """All a log must remember of its tree to append to it: the roots of its complete subtrees.

    Attributes:
        size: leaves in the tree.
        peaks: one hash for each 1 in the binary form of `size`, the largest subtree, which is the leftmost, first.
    """

    size: int
    peaks: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.size <= SIZE_MAX or len(self.peaks) != self.size.bit_count():
            raise _unusable("A frontier has another number of peaks than its size asks for.")
        if any(len(peak) != HASH_SIZE_BYTES for peak in self.peaks):
            raise _unusable("A peak of a frontier is not 32 bytes.")

    @classmethod
    def empty(cls) -> Self:
        """Return the frontier of a tree without leaves."""
        return cls(0, ())

    @classmethod
    def at(cls, size: int, read: HashReader) -> Self:
        """Return the frontier of the first `size` leaves, as read from the tree."""
        return cls(size, tuple(read(*part) for part in _complete_parts(0, size)))

    def root(self) -> bytes:
        """Return the tree's root hash, 32 bytes."""
        return _join(self.peaks) if self.peaks else EMPTY_ROOT

    def extend(self, leaf_hashes: Sequence[bytes]) -> "Frontier":
        """Return the frontier after `leaf_hashes` are appended; costs less than one node hash a leaf, on average.

        Raises:
            BadInput: a leaf hash is not 32 bytes, or the tree would outgrow `SIZE_MAX`.
        """
        if not _are_hashes(leaf_hashes):
            raise _unusable("A leaf hash is not 32 bytes.")
        peaks, new_peaks = list(self.peaks), list[bytes]()
        first, hashes = self.size, list(leaf_hashes)
        while hashes:  # one level of what is new, complete subtrees only; the next one up is hashed from it
            if first % 2 == 1:  # the old size has a 1 here, and its peak is the left neighbour of what is new
                first, hashes = first - 1, [peaks.pop(), *hashes]
            if len(hashes) % 2 == 1:
                new_peaks.append(hashes.pop())
            first, hashes = first // 2, node_hashes(hashes)
        return Frontier(self.size + len(leaf_hashes), (*peaks, *reversed(new_peaks)))


def root_at(size: int, read: HashReader) -> bytes:
    """Return the root hash of the first `size` leaves, 32 bytes."""
    return Frontier.at(size, read).root()


def is_subtree(start: int, end: int) -> bool:
    """Return whether leaves [start, end) are a subtree: start is a multiple of the smallest 2^k >= end - start."""
    if not 0 <= start < end <= SIZE_MAX:
        return False
    return start % (1 << (end - start - 1).bit_length()) == 0


def range_hash(start: int, end: int, read: HashReader) -> bytes:
    """Return the Merkle tree hash of the leaves [start, end), 32 bytes.

    Args:
        start: 0, or a multiple of the smallest power of two that is not below `end - start`; only such a range is
            a subtree, with complete subtrees of the tree as its parts.
        end: one past the last leaf.
        read: hashes of the tree.

    Raises:
        BadInput: the range is empty, or is no subtree.

    Source: RFC 6962, section 2.1 (MTH); c2sp.org/tlog-witness (which ranges are subtrees).
    """
    if not is_subtree(start, end):
        raise _unusable("The range of leaves is not a subtree.")
    return _join([read(*part) for part in _complete_parts(start, end)])


class Prover:
    """Proofs that lead to one head of a log, for whoever makes many of them.

    It remembers the hashes on the right edge of the tree, which most proofs share, and nothing else. As safe between
    threads as its reader: what is remembered is the same whoever computes it.
    """

    def __init__(self, size: int, read: HashReader) -> None:
        """Prove what stands in the first `size` leaves.

        Args:
            size: leaves in the tree, from a checkpoint.
            read: hashes of a tree of at least `size` leaves.

        Raises:
            BadInput: no tree has that size.
        """
        if not 0 <= size <= SIZE_MAX:
            raise _unusable("No tree has that size.")
        self.size = size
        self._read = read
        self._edge: dict[int, bytes] = {}

    def inclusion(self, index: int) -> list[bytes]:
        """Return the sibling hashes that lead from a leaf to the root, leaf side first.

        Raises:
            BadInput: the tree has no such leaf.

        Source: RFC 6962, section 2.1.1 (PATH).
        """
        if not 0 <= index < self.size:
            raise _unusable("The index lies outside the tree.")
        return self._path(0, index)

    def consistency(self, old_size: int) -> list[bytes]:
        """Return the hashes which show that the first `old_size` leaves are the start of the tree.

        Args:
            old_size: at least 1: every tree starts with the empty one, so nothing proves it.

        Raises:
            BadInput: the older tree is empty or larger than this one.

        Source: RFC 6962, section 2.1.2 (PROOF and SUBPROOF).
        """
        if not 0 < old_size <= self.size:
            raise _unusable("The older tree is empty, or larger than the newer one.")
        if old_size == self.size:
            return []
        # The last complete subtree of the older tree: its path leads to both roots.
        level = (old_size & -old_size).bit_length() - 1
        index = (old_size >> level) - 1
        path = self._path(level, index)
        # At index 0 it is the whole of the older tree: its hash is the old root, which the checker has.
        return path if index == 0 else [self._read(level, index), *path]

    def range(self, start: int, end: int) -> list[bytes]:
        """Return the hashes that lead from the leaves [start, end) to the root, for `check_range`.

        They are the siblings to the left and to the right of the range: level by level from the leaves up, left before
        right. For one leaf they are its inclusion proof, for the whole tree there are none.

        Raises:
            BadInput: the range is empty or reaches beyond the tree.

        Source: the compact ranges of transparency-dev/merkle, docs/compact_ranges.md, in the order of RFC 6962's paths.
        """
        if not 0 <= start < end <= self.size:
            raise _unusable("The range is empty, or reaches beyond the tree.")
        proof: list[bytes] = []
        level, first, last, tree_last = 0, start, end - 1, self.size - 1
        while tree_last > 0:
            if first % 2 == 1:
                proof.append(self._read(level, first - 1))
            if last % 2 == 0 and last < tree_last:
                proof.append(self._node(level, last + 1))
            level, first, last, tree_last = level + 1, first >> 1, last >> 1, tree_last >> 1
        return proof

    def _path(self, level: int, index: int) -> list[bytes]:
        """Return the siblings from a node up to the root."""
        read, proof = self._read, list[bytes]()
        last = (self.size - 1) >> level
        while last > 0:
            sibling = index ^ 1
            if sibling < last:
                proof.append(read(level, sibling))
            elif sibling == last:
                proof.append(self._node(level, sibling))
            # Otherwise the node is the last of its level, without a neighbour, and stands on the next one unchanged.
            level, index, last = level + 1, index >> 1, last >> 1
        return proof

    def _node(self, level: int, index: int) -> bytes:
        """Return the hash of any node; the last of a level may span fewer leaves than the others."""
        if (index + 1) << level <= self.size:
            return self._read(level, index)
        found = self._edge.get(level)
        if found is None:
            found = self._edge[level] = range_hash(index << level, self.size, self._read)
        return found


def prove_inclusion(index: int, *, size: int, read: HashReader) -> list[bytes]:
    """Return the sibling hashes that lead from a leaf to the root; `Prover` says how, and is faster for many."""
    return Prover(size, read).inclusion(index)


def prove_consistency(old_size: int, *, new_size: int, read: HashReader) -> list[bytes]:
    """Return the hashes which show that one tree is the start of another; `Prover` says how."""
    return Prover(new_size, read).consistency(old_size)


def check_inclusion(proof: Sequence[bytes], *, leaf_hash: bytes, index: int, size: int, root: bytes) -> None:
    """Return quietly if `proof` shows the leaf is in the tree; raise if it does not.

    Raising instead of returning a bool means a forgotten `if` fails closed.

    Args:
        proof: sibling hashes, leaf side first, from `prove_inclusion` or a partner.
        leaf_hash: hash of the leaf in question, 32 bytes.
        index: zero-based position the partner claims.
        size: number of leaves the checkpoint claims.
        root: root hash from a checkpoint whose signature is already checked, 32 bytes.

    Raises:
        ProofRejected: the proof is of another shape, or leads to another root.

    Source: RFC 6962, section 2.1.1, in the two runs of transparency-dev/merkle's `proof.RootFromInclusionProof`; RFC
    9162, section 2.1.3.2 has them as one loop.
    """
    if not 0 <= index < size <= SIZE_MAX:
        raise _rejected("The index lies outside the tree.")
    _require_hashes(leaf_hash, root, *proof)
    # Where the leaf's way and that of the last leaf have met, every sibling stands on the left: one for each 1 in
    # what is left of the index.
    inner = (index ^ (size - 1)).bit_length()
    height = inner + (index >> inner).bit_count()
    if len(proof) != height:
        raise _rejected(f"The proof is {'longer' if len(proof) > height else 'shorter'} than the tree is tall.")
    sha256, node = in_use().sha256, leaf_hash
    for sibling in proof[:inner]:
        node = sha256(NODE_PREFIX + sibling + node if index & 1 else NODE_PREFIX + node + sibling)
        index >>= 1
    for sibling in proof[inner:]:
        node = sha256(NODE_PREFIX + sibling + node)
    if node != root:
        raise _rejected("The proof leads to a different root.")


def check_consistency(
    proof: Sequence[bytes], *, old_size: int, old_root: bytes, new_size: int, new_root: bytes
) -> None:
    """Return quietly if `proof` shows the older tree is the start of the newer one; raise if it does not.

    An older tree without leaves is refused: it is the start of every tree, so whoever meets one decides apart.

    Args:
        proof: hashes from `prove_consistency` or a partner; empty where both trees have one size.
        old_size: leaves in the older tree.
        old_root: its root hash, from a checkpoint whose signature is already checked, 32 bytes.
        new_size: leaves in the newer tree.
        new_root: its root hash, from a checkpoint likewise, 32 bytes.

    Raises:
        ProofRejected: the proof is of another shape, or leads to another root than either of the two.

    Source: RFC 9162, section 2.1.4.2.
    """
    if not 0 < old_size <= new_size <= SIZE_MAX:
        raise _rejected("The older tree is empty, or larger than the newer one.")
    _require_hashes(*proof, old_root, new_root)
    if old_size == new_size:
        if proof:
            raise _rejected("The proof between equal trees is not empty.")
        if old_root != new_root:
            raise _rejected("Two trees of one size have different roots.")
        return
    # Where the older tree is one complete subtree, its root is where the proof starts, and is not repeated in it.
    path = [old_root, *proof] if old_size.bit_count() == 1 else list(proof)
    if not path:
        raise _rejected("The proof is shorter than the tree is tall.")
    position, last = old_size - 1, new_size - 1
    while position % 2 == 1:
        position, last = position >> 1, last >> 1
    old_node = new_node = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise _rejected("The proof is longer than the tree is tall.")
        if position % 2 == 1 or position == last:
            old_node, new_node = node_hash(sibling, old_node), node_hash(sibling, new_node)
            while position % 2 == 0:  # as in `check_inclusion`
                position, last = position >> 1, last >> 1
        else:
            new_node = node_hash(new_node, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise _rejected("The proof is shorter than the tree is tall.")
    if old_node != old_root:
        raise _rejected("The proof leads to a different old root.")
    if new_node != new_root:
        raise _rejected("The proof leads to a different new root.")


def _complete_parts(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (level, index) of the complete subtrees that make up a subtree's leaves [start, end), largest first."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _join(parts: Sequence[bytes]) -> bytes:
    """Return the root over complete subtrees, largest first."""
    *others, node = parts
    for left in reversed(others):
        node = node_hash(left, node)
    return node


def _are_hashes(hashes: Iterable[bytes]) -> bool:
    return set(map(len, hashes)) <= {HASH_SIZE_BYTES}


def _require_hashes(*hashes: bytes) -> None:
    if not _are_hashes(hashes):
        raise _rejected("A hash in the proof is not 32 bytes.")


def _rejected(problem: str) -> ProofRejected:
    return ProofRejected(problem, remedy="Ask for the proof again; if it stays wrong, keep it and the checkpoint.")


def _unusable(problem: str) -> BadInput:
    return BadInput(problem, remedy="Ask for what lies within the tree of the latest checkpoint.")
