"""Reading a tree back from its tiles, with the tiles used last kept in memory, bounded in bytes.

Pure: whoever has the files passes `fetch` in, and where several threads read, a lock. Hashes read here are as good as
the tiles they come from: believe them once they lead to a signed root.

Source: c2sp.org/tlog-tiles ("Merkle Tree", "Partial Tiles", "Log entries").
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TypeVar

from tallystick_ledger.errors import BadInput
from tallystick_ledger.tlog.hashing import HASH_SIZE_BYTES, node_hashes
from tallystick_ledger.tlog.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    BundlePath,
    TilePath,
    decode_bundle,
    require_width,
)

CACHE_SIZE_MAX_BYTES = 32 * 1024 * 1024
"""What a cache may take where nobody says: nearly 2,000 full tiles, the lowest ones of half a million entries."""

TILE_SIZE_BYTES = 2 * TILE_WIDTH * HASH_SIZE_BYTES + 512
"""The memory a tile takes, at most: its hashes, those folded from them, and the objects that hold both."""

_HEAP_SIZE_BYTES = 2 * TILE_WIDTH * HASH_SIZE_BYTES

_Path = TypeVar("_Path", TilePath, BundlePath)


class Tile:
    """The hashes of one tile, and of the tree levels inside it, folded when one of them is first read.

    Attributes:
        width: hashes on its lowest level, 1 to 256.
    """

    __slots__ = ("_hashes", "width")

    def __init__(self, raw: bytes) -> None:
        """Keep a tile's bytes; whoever read them has checked their width."""
        self.width = len(raw) // HASH_SIZE_BYTES
        self._hashes = raw  # in its place, once a folded hash is asked for, all of them as a heap

    def hash(self, height: int, offset: int) -> bytes:
        """Return the hash of a complete subtree, 32 bytes.

        Args:
            height: levels above the tile's lowest, 0 to 7.
            offset: position of its first hash on the lowest level.
        """
        hashes = self._hashes
        at = TILE_WIDTH + offset >> height
        if len(hashes) != _HEAP_SIZE_BYTES:
            if height == 0:
                at = offset
            else:
                # Two threads that come here at once both do the work, and keep the same bytes.
                hashes = self._hashes = _folded(hashes)
        return hashes[at * HASH_SIZE_BYTES : (at + 1) * HASH_SIZE_BYTES]


class TileCache:
    """The tiles used last, as many as fit.

    Readers of one log at several sizes may share it: a tile only ever grows, so a wider one serves for a narrower.
    """

    def __init__(
        self, size_max_bytes: int = CACHE_SIZE_MAX_BYTES, *, lock: AbstractContextManager[object] | None = None
    ) -> None:
        """Keep tiles that take `size_max_bytes` of memory in all, at most.

        Args:
            size_max_bytes: in bytes; `TILE_SIZE_BYTES` for each tile.
            lock: held while the cache is looked at or changed, and not while a tile is fetched; None for one thread.
        """
        self._tiles_max = size_max_bytes // TILE_SIZE_BYTES
        self._lock = nullcontext() if lock is None else lock
        self._tiles: dict[tuple[int, int], Tile] = {}  # by tile level and index; oldest use first

    @property
    def size_bytes(self) -> int:
        """The memory that the tiles take, at most."""
        return len(self._tiles) * TILE_SIZE_BYTES

    def find(self, key: tuple[int, int], *, width: int) -> Tile | None:
        """Return the tile of a tile level and index if it is here and has at least `width` hashes."""
        with self._lock:
            tile = self._tiles.get(key)
            if tile is None or tile.width < width:
                return None
            del self._tiles[key]
            self._tiles[key] = tile
            return tile

    def keep(self, key: tuple[int, int], tile: Tile) -> None:
        """Keep a tile in place of a narrower one; those used longest ago make room."""
        with self._lock:
            old = self._tiles.pop(key, None)
            if old is not None and old.width > tile.width:
                tile = old
            while self._tiles and len(self._tiles) >= self._tiles_max:
                del self._tiles[next(iter(self._tiles))]
            if self._tiles_max > 0:
                self._tiles[key] = tile


class TileReader:
    """Reads hashes and entries of a log from its tiles and bundles; callable as a `merkle.HashReader`.

    Reading hashes is as safe between threads as `fetch` and the cache are; reading entries is for one thread, since
    the bundle used last is kept.
    """

    def __init__(self, fetch: Callable[[str], bytes], size: int, *, cache: TileCache | None = None) -> None:
        """Read a tree through `fetch`.

        Args:
            fetch: path below the log's prefix -> the bytes there; raises `LookupError` where there are none.
            size: leaves in the tree, from a checkpoint; it says how wide the right edge is.
            cache: keeps tiles of this log, and of no other; None: one of its own.
        """
        self.size = size
        self._fetch = fetch
        self._cache = TileCache() if cache is None else cache
        # A proof reads eight hashes in a row from each tile, so the tile read last is kept at hand: one attribute,
        # set in one step, so that no thread sees one tile under the name of another.
        self._at_hand: tuple[tuple[int, int], Tile | None] = (-1, -1), None
        self._bundle: tuple[BundlePath, list[bytes]] | None = None

    def __call__(self, level: int, index: int) -> bytes:
        """Return the hash of the complete subtree over the leaves [index << level, (index + 1) << level).

        Raises:
            BadInput: the tree has no such complete subtree.
            LookupError: its tile is absent, and so is the full tile that may replace a partial one.
            TileMalformed: its tile does not have the width that the size asks for.
        """
        if level < 0 or index < 0 or (index + 1) << level > self.size:
            raise _outside("The tree has no such complete subtree.")
        height = level % TILE_HEIGHT
        position = index << height
        key = (level // TILE_HEIGHT, position // TILE_WIDTH)
        at_hand, tile = self._at_hand
        if tile is None or at_hand != key:
            tile = self._tile(key)
            self._at_hand = key, tile
        return tile.hash(height, position % TILE_WIDTH)

    def entry(self, index: int) -> bytes:
        """Return the entry at zero-based `index`.

        Raises:
            BadInput: the tree has no such entry.
            LookupError: its bundle is absent, and so is the full bundle that may replace a partial one.
            TileMalformed: its bundle does not hold the entries that the size asks for.
        """
        if not 0 <= index < self.size:
            raise _outside("The tree has no such entry.")
        bundle_index, offset = divmod(index, TILE_WIDTH)
        path = BundlePath(bundle_index, self._width(0, bundle_index))
        if self._bundle is None or self._bundle[0] != path:
            raw, width = self._fetch_widest(path)
            self._bundle = path, decode_bundle(raw, count=width)[: path.width]
        return self._bundle[1][offset]

    def _width(self, tile_level: int, tile_index: int) -> int:
        return min(TILE_WIDTH, (self.size >> TILE_HEIGHT * tile_level) - tile_index * TILE_WIDTH)

    def _tile(self, key: tuple[int, int]) -> Tile:
        width = self._width(*key)
        tile = self._cache.find(key, width=width)
        if tile is None:
            raw, width = self._fetch_widest(TilePath(*key, width))
            require_width(raw, width)
            tile = Tile(raw)
            self._cache.keep(key, tile)
        return tile

    def _fetch_widest(self, path: _Path) -> tuple[bytes, int]:
        """Return the bytes at `path` and their width; a log may have deleted a partial one once the full one exists."""
        try:
            return self._fetch(path.path), path.width
        except LookupError:
            if path.width == TILE_WIDTH:
                raise
            return self._fetch(replace(path, width=TILE_WIDTH).path), TILE_WIDTH


def _folded(raw: bytes) -> bytes:
    """Return a tile's hashes and all that are folded from them, as a tree stands in an array.

    The children of node n are nodes 2n and 2n + 1: node 1 is the root, 256 the tile's first hash, and none is node 0.
    Where a tile is partial, zeros stand for what it does not have.
    """
    level, heap = raw, [raw.ljust(TILE_WIDTH * HASH_SIZE_BYTES, b"\0")]
    for height in range(1, TILE_HEIGHT + 1):
        level = b"".join(node_hashes(level))
        heap.append(level.ljust((TILE_WIDTH >> height) * HASH_SIZE_BYTES, b"\0"))
    return bytes(HASH_SIZE_BYTES) + b"".join(reversed(heap))


def _outside(problem: str) -> BadInput:
    return BadInput(problem, remedy="Ask for what lies within the tree of the latest checkpoint.")
