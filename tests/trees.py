"""A Merkle tree as RFC 6962 defines it, written for the eye and not for speed, to hold the real one against."""

import hashlib
from collections.abc import Sequence

from tallystick_ledger.tlog.tiles import TILE_WIDTH, BundlePath, TilePath, encode_bundle, paths_for


def leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, over leaf hashes, as it stands there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node(root_of(leaves[:k]), root_of(leaves[k:]))


class Tree:
    """Entries `0`, `1`, ... with every complete subtree's hash; `read` is a HashReader that never fails."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.entries = [str(number).encode() for number in range(size)]
        self.leaves = [leaf(entry) for entry in self.entries]
        self._levels = [self.leaves]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            self._levels.append([node(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])

    def read(self, level: int, index: int) -> bytes:
        return self._levels[level][index]

    def files(self) -> dict[str, bytes]:
        """Every tile and bundle that a log of this size serves."""
        return {place.path: self._file(place) for place in paths_for(self.size)}

    def _file(self, place: TilePath | BundlePath) -> bytes:
        start = place.index * TILE_WIDTH
        span = slice(start, start + place.width)
        if isinstance(place, BundlePath):
            return encode_bundle(self.entries[span])
        return b"".join(self._levels[place.level * 8][span])
