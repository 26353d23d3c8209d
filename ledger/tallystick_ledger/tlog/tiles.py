"""A tree as static files: tiles of 256 hashes, bundles of 256 entries, and their paths; `reader` reads a tree back.

Pure: bytes and paths in, bytes and paths out.

Source: c2sp.org/tlog-tiles ("Merkle Tree", "Partial Tiles", "Log entries").
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tallystick_ledger.errors import TileMalformed
from tallystick_ledger.tlog.blob import join_entries, split_entries
from tallystick_ledger.tlog.hashing import HASH_SIZE_BYTES
from tallystick_ledger.tlog.merkle import SIZE_MAX

CHECKPOINT = "checkpoint"
"""The path of the head below a log's prefix."""

TILE_HEIGHT = 8
"""Tree levels between one tile level and the next."""

TILE_WIDTH = 1 << TILE_HEIGHT

LEVEL_MAX = 63

INDEX_MAX = SIZE_MAX // TILE_WIDTH
"""The last tile of level 0 that the largest tree has."""


@dataclass(frozen=True, slots=True)
class TilePath:
    """The place of one tile.

    Attributes:
        level: tile level, 0 for leaf hashes; a hash of level L spans 256^L leaves.
        index: zero-based position of the tile on its level.
        width: hashes in the tile, 1 to 256; below 256 it is a partial tile.

    Raises:
        TileMalformed: no tile can have that place.
    """

    level: int
    index: int
    width: int

    def __post_init__(self) -> None:
        if not (0 <= self.level <= LEVEL_MAX and 0 <= self.index <= INDEX_MAX and 1 <= self.width <= TILE_WIDTH):
            raise _malformed("A tile's level, index or width is out of range.")

    @property
    def path(self) -> str:
        """The path below a log's prefix, such as `tile/0/x001/x234/067` or `tile/2/000.p/1`."""
        return f"tile/{self.level}/{_index_path(self.index, self.width)}"


@dataclass(frozen=True, slots=True)
class BundlePath:
    """The place of one bundle of entries.

    Attributes:
        index: zero-based position; the bundle holds the entries of the level 0 tile with the same index.
        width: entries in the bundle, 1 to 256; below 256 it is a partial bundle.

    Raises:
        TileMalformed: no bundle can have that place.
    """

    index: int
    width: int

    def __post_init__(self) -> None:
        if not (0 <= self.index <= INDEX_MAX and 1 <= self.width <= TILE_WIDTH):
            raise _malformed("A bundle's index or width is out of range.")

    @property
    def path(self) -> str:
        """The path below a log's prefix, such as `tile/entries/000.p/5`."""
        return f"tile/entries/{_index_path(self.index, self.width)}"


_PATH = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([0-9]{1,3}))?")


def parse_path(path: str) -> TilePath | BundlePath:
    """Return the tile or bundle that `path` names.

    Raises:
        TileMalformed: it names neither, or not in the one spelling they have.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise _malformed("A path names neither a tile nor a bundle.")
    level, groups, partial = match.groups()
    index = int(groups.replace("x", "").replace("/", ""))
    width = TILE_WIDTH if partial is None else int(partial)
    place = BundlePath(index, width) if level == "entries" else TilePath(int(level), index, width)
    if place.path != path:  # leading zeros, or `.p/256`
        raise _malformed("A path is not in the one spelling that its tile has.")
    return place


def paths_for(size: int) -> Iterator[TilePath | BundlePath]:
    """Yield every bundle and tile that a log of `size` leaves serves: all full ones, and the partial one a level."""
    return paths_between(0, size)


def paths_between(old_size: int, new_size: int) -> Iterator[TilePath | BundlePath]:
    """Yield the bundles and tiles that are new or wider when a log grows from `old_size` to `new_size` leaves."""
    for index, width in _widths_between(old_size, new_size):
        yield BundlePath(index, width)
    level = 0
    while new_size > 0:
        for index, width in _widths_between(old_size, new_size):
            yield TilePath(level, index, width)
        # Only full tiles are hashed into the level above.
        old_size, new_size, level = old_size // TILE_WIDTH, new_size // TILE_WIDTH, level + 1


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return the bundle of 1 to 256 entries.

    Raises:
        TileMalformed: too few or too many entries, or one longer than `blob.ENTRY_SIZE_MAX_BYTES`.
    """
    _require_bundled(len(entries))
    return join_entries(entries)


def decode_bundle(raw: bytes, *, count: int) -> list[bytes]:
    """Return the `count` entries (1 to 256) of a bundle.

    Raises:
        TileMalformed: the bytes are not exactly that many entries.
    """
    _require_bundled(count)
    return split_entries(raw, count=count)


def require_width(raw: bytes, width: int) -> None:
    """Return quietly if `raw` is as long as a tile of `width` hashes (1 to 256).

    Raises:
        TileMalformed: it is not.
    """
    if not 1 <= width <= TILE_WIDTH or len(raw) != width * HASH_SIZE_BYTES:
        raise _malformed("A tile is not as wide as its place asks for.")


def split_tile(raw: bytes, *, width: int) -> list[bytes]:
    """Return the `width` hashes (1 to 256) of a tile.

    Raises:
        TileMalformed: the bytes are not exactly that many hashes.
    """
    require_width(raw, width)
    return [raw[start : start + HASH_SIZE_BYTES] for start in range(0, len(raw), HASH_SIZE_BYTES)]


def _require_bundled(count: int) -> None:
    if not 1 <= count <= TILE_WIDTH:
        raise _malformed("A bundle holds 1 to 256 entries.")


def _index_path(index: int, width: int) -> str:
    groups = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        groups.append(f"x{index % 1000:03}")
    return "/".join(reversed(groups)) + ("" if width == TILE_WIDTH else f".p/{width}")


def _widths_between(old_count: int, new_count: int) -> Iterator[tuple[int, int]]:
    """Yield (index, width) of what is new or wider on a level that grows from `old_count` to `new_count` hashes."""
    if new_count > old_count:
        for index in range(old_count // TILE_WIDTH, -(-new_count // TILE_WIDTH)):
            yield index, min(TILE_WIDTH, new_count - index * TILE_WIDTH)


def _malformed(problem: str) -> TileMalformed:
    return TileMalformed(problem, remedy="Write tiles and their paths as c2sp.org/tlog-tiles says.")
