"""From committed entries to the files of a log: bundles, tiles, and the right edge that the next ones are added to.

Pure but for `write`, which is passed in: no file is read back, and what is committed is hashed once.

Source: c2sp.org/tlog-tiles ("Merkle Tree", "Partial Tiles", "Log entries").
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tallystick_ledger.tlog.hashing import node_hashes
from tallystick_ledger.tlog.merkle import HASH_SIZE_BYTES, root_at
from tallystick_ledger.tlog.reader import TileReader
from tallystick_ledger.tlog.tiles import TILE_HEIGHT, TILE_WIDTH, BundlePath, TilePath
from tallystick_node.log.handover import Piece

TILE_SIZE_BYTES = TILE_WIDTH * HASH_SIZE_BYTES

Place = BundlePath | TilePath


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge of a log's files: its partial ones, which the next publication makes wider.

    Attributes:
        size: leaves in the tree.
        files: content by path: of the last bundle, and of the last tile of each level, where they are not full.
    """

    size: int
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def root(self) -> bytes:
        """Return the root hash that these files lead to, 32 bytes.

        Raises:
            LookupError, TileMalformed: a file is missing, or not as wide as its place asks for.
        """
        return root_at(self.size, TileReader(self.files.__getitem__, self.size))


@dataclass(frozen=True, slots=True)
class _Lowest:
    """A tile of leaves, with its bundle; its root where it is full and known."""

    index: int
    entries: bytes
    leaves: bytes
    root: bytes | None


def edge_places(size: int) -> Iterator[Place]:
    """Yield the places of the partial bundle, and of the partial tile of each level, of a log of `size` leaves."""
    if size % TILE_WIDTH:
        yield BundlePath(size // TILE_WIDTH, size % TILE_WIDTH)
    level = 0
    while size > 0:
        if size % TILE_WIDTH:
            yield TilePath(level, size // TILE_WIDTH, size % TILE_WIDTH)
        size, level = size >> TILE_HEIGHT, level + 1


def write_files(before: Edge, size: int, pieces: Iterable[Piece], write: Callable[[str, bytes], None]) -> Edge:
    """Write every bundle and tile that a log of `size` leaves has and one of the size before had not.

    Args:
        before: the edge to go on from.
        size: leaves in the tree afterwards, at least as many as before.
        pieces: every entry between the two sizes, in order.
        write: path below the log's prefix, content.

    Returns:
        The right edge that was written.

    Raises:
        LookupError: a file of the edge before is missing.
    """
    edge = Edge(size, {place.path: before.files.get(place.path, b"") for place in edge_places(size)})

    def put(place: Place, content: bytes) -> None:
        write(place.path, content)
        if place.width < TILE_WIDTH:
            edge.files[place.path] = content

    roots: list[bytes] = []  # of the full tiles of one level, from `before.size >> 8 * level` on
    for tile in _lowest_tiles(before, size, pieces):
        width = len(tile.leaves) // HASH_SIZE_BYTES
        put(BundlePath(tile.index, width), tile.entries)
        put(TilePath(0, tile.index, width), tile.leaves)
        if width == TILE_WIDTH:
            roots.append(tile.root or root_of_tile(tile.leaves))
    level, size_before = 1, before.size >> TILE_HEIGHT
    while roots:
        index, known = divmod(size_before, TILE_WIDTH)
        hashes = (before.files[TilePath(level, index, known).path] if known else b"") + b"".join(roots)
        roots = []
        for start in range(0, len(hashes), TILE_SIZE_BYTES):
            content = hashes[start : start + TILE_SIZE_BYTES]
            put(TilePath(level, index, len(content) // HASH_SIZE_BYTES), content)
            if len(content) == TILE_SIZE_BYTES:
                roots.append(root_of_tile(content))
            index += 1
        level, size_before = level + 1, size_before >> TILE_HEIGHT
    return edge


def root_of_tile(hashes: bytes) -> bytes:
    """Return the root over the 256 hashes of a full tile, 32 bytes."""
    while len(hashes) > HASH_SIZE_BYTES:
        hashes = b"".join(node_hashes(hashes))
    return hashes


def _lowest_tiles(before: Edge, size: int, pieces: Iterable[Piece]) -> Iterator[_Lowest]:
    """Yield each tile of leaves that is new or wider, with its bundle."""
    index, known = divmod(before.size, TILE_WIDTH)
    entries = [before.files[BundlePath(index, known).path]] if known else []
    leaves = [before.files[TilePath(0, index, known).path]] if known else []
    for piece in pieces:
        entries.append(piece.entries)
        leaves.append(piece.leaves)
        if piece.end % TILE_WIDTH == 0 or piece.end == size:
            yield _Lowest(index, b"".join(entries), b"".join(leaves), piece.root)
            index, entries, leaves = index + 1, [], []
