"""Plan an append: from the right edge of a tree and new entries to hashes, proofs and the next right edge.

Pure. The node's writer does what the plan says, in one transaction; the plan itself touches nothing, so that the same
code runs under a test, a simulator and an auditor.

Source: RFC 6962 section 2.1 (tree hash, audit paths).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tallystick_ledger.tlog.hashing import leaf_hashes, node_hash, node_hashes
from tallystick_ledger.tlog.merkle import Frontier


class Level(NamedTuple):
    """The hashes of one tree level that an append touches, and their left neighbours.

    Attributes:
        first: index of the first of them, always even.
        hashes: up to the level's end. The last one may span fewer leaves than the others: the end of a tree whose size
            is no power of two.
    """

    first: int
    hashes: list[bytes]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one append will do to a log.

    Attributes:
        before: the right edge that the plan starts from.
        after: the right edge once it is done.
        entries: the new entries' exact bytes, in order; the first has index `before.size`.
        leaves: their leaf hashes.
        levels: what the append touches, leaf side first.
    """

    before: Frontier
    after: Frontier
    entries: tuple[bytes, ...]
    leaves: tuple[bytes, ...]
    levels: tuple[Level, ...] = field(repr=False)

    def prove(self, indexes: Sequence[int]) -> list[list[bytes]]:
        """Return, for each index of a new entry, its inclusion proof in the tree after the append.

        No older tile is read: every older subtree that a new leaf's path needs is a peak of the right edge.
        """
        return [self._prove(index) for index in indexes]

    def completed(self, height: int) -> list[bytes]:
        """Return the hashes of the complete subtrees of 2^height leaves that the append completes, in order.

        The first of them has index `before.size >> height` on its level.
        """
        start, end = self.before.size >> height, self.after.size >> height
        if start == end:
            return []
        level = self.levels[height]
        return level.hashes[start - level.first : end - level.first]

    def _prove(self, index: int) -> list[bytes]:
        assert self.before.size <= index < self.after.size, "a plan proves the entries it appends"
        proof: list[bytes] = []
        for level in self.levels:
            sibling = (index ^ 1) - level.first
            if sibling < len(level.hashes):  # the last of a level may have none, and stands on the next one unchanged
                proof.append(level.hashes[sibling])
            index >>= 1
        return proof


def plan_append(frontier: Frontier, entries: Sequence[bytes]) -> Plan:
    """Return the plan that appends `entries` behind `frontier`."""
    if not entries:
        return Plan(frontier, frontier, (), (), ())
    leaves = leaf_hashes(entries)
    size = frontier.size + len(leaves)
    levels = _levels(frontier, leaves)
    # The tree has a peak on each level where its size has a 1: the last complete subtree there. Where no new leaf is
    # in it, it is an old peak, and so the left neighbour of what is new.
    peaks = [
        level.hashes[(size >> height) - 1 - level.first] for height, level in enumerate(levels) if size >> height & 1
    ]
    return Plan(frontier, Frontier(size, tuple(reversed(peaks))), tuple(entries), tuple(leaves), levels)


def _levels(frontier: Frontier, leaves: list[bytes]) -> tuple[Level, ...]:
    """Return the levels from the new leaves up to the root.

    At level k the first new node is `size >> k`. Where that is odd, bit k of the size is set, so the frontier has a
    peak at level k, and it is just that node's left sibling.
    """
    peaks = list(frontier.peaks)
    first, hashes = frontier.size, leaves
    levels: list[Level] = []
    while True:
        if first % 2 == 1:
            first, hashes = first - 1, [peaks.pop(), *hashes]
        levels.append(Level(first, hashes))
        if first == 0 and len(hashes) == 1:
            return tuple(levels)
        # Of a lone entry each level has one pair at most: a batch of one costs more than its hash.
        above = node_hashes(hashes) if len(hashes) > 3 else [node_hash(*hashes[:2])] if len(hashes) > 1 else []
        first, hashes = first // 2, above + hashes[len(above) * 2 :]
