"""Floors for auditing, proving and checking: the hashes alone, all levels of a tree in memory.

Source: RFC 6962, sections 2.1 and 2.1.1.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

BUNDLE_WIDTH = 256


def level_above(hashes: list[bytes]) -> list[bytes]:
    """Return the level above; a last hash without a neighbour stands on it unchanged."""
    sha256 = hashlib.sha256
    above = [sha256(b"\x01" + left + right).digest() for left, right in zip(hashes[::2], hashes[1::2], strict=False)]
    return above + hashes[-1:] if len(hashes) % 2 else above


def levels_of(raws: Sequence[bytes]) -> list[list[bytes]]:
    """Return every level of the tree over entries, leaves first, the root alone last."""
    return levels_above([hashlib.sha256(b"\x00" + raw).digest() for raw in raws])


def levels_above(leaves: list[bytes]) -> list[list[bytes]]:
    """Return every level of the tree over leaf hashes, these first."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        levels.append(level_above(levels[-1]))
    return levels


def split(raw: bytes) -> list[bytes]:
    """Return hashes that lie side by side."""
    return [raw[start : start + 32] for start in range(0, len(raw), 32)]


def path_of(levels: Sequence[Sequence[bytes]], index: int) -> list[bytes]:
    """Return the siblings that lead from a leaf to the root."""
    path: list[bytes] = []
    for hashes in levels:
        sibling = index ^ 1
        if sibling < len(hashes):
            path.append(hashes[sibling])
        index >>= 1
    return path


def sides_of(levels: Sequence[Sequence[bytes]], index: int) -> list[bool]:
    """Return, for each sibling of a leaf's path, whether it stands on the left."""
    return [
        at % 2 == 1
        for at, hashes in ((index >> up, hashes) for up, hashes in enumerate(levels))
        if at ^ 1 < len(hashes)
    ]


def leads_to(root: bytes, raw: bytes, path: Sequence[bytes], sides: Sequence[bool]) -> bool:
    """Return whether an entry and its siblings hash to the root; nothing about their shape is looked at."""
    node = hashlib.sha256(b"\x00" + raw).digest()
    for sibling, is_left in zip(path, sides, strict=True):
        node = hashlib.sha256(b"\x01" + (sibling + node if is_left else node + sibling)).digest()
    return node == root


def root_of_files(bundles: Sequence[Path], pool: Executor, *, processes: int) -> bytes:
    """Return the root that a log's bundles hash to, read and hashed by a pool's processes; no tile is read."""
    share = -(-len(bundles) // processes)
    shares = [bundles[start : start + share] for start in range(0, len(bundles), share)]
    hashes = [root for roots in pool.map(_roots_of, shares) for root in roots]
    while len(hashes) > 1:
        hashes = level_above(hashes)
    return hashes[0]


def _roots_of(bundles: Sequence[Path]) -> list[bytes]:
    return [levels_of(_entries_in(path.read_bytes()))[-1][0] for path in bundles]


def _entries_in(raw: bytes) -> list[bytes]:
    raws: list[bytes] = []
    at = 0
    while at < len(raw):
        end = at + 2 + int.from_bytes(raw[at : at + 2], "big")
        raws.append(raw[at + 2 : end])
        at = end
    return raws
