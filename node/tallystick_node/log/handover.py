"""What the writer hands to the publisher of a log in the same process, so that nothing is read back or hashed twice.

Bounded: where the publisher falls behind, the oldest is forgotten, and is read from the database instead.
"""

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tallystick_ledger.append import Plan
from tallystick_ledger.tlog.blob import join_entries
from tallystick_ledger.tlog.tiles import TILE_HEIGHT, TILE_WIDTH

HANDED_SIZE_MAX_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """Committed entries that lie in one tile.

    Attributes:
        first: index of the first of them.
        count: how many.
        entries: side by side, each behind its length.
        leaves: their leaf hashes, side by side.
        root: the root of the tile, where it ends with them and is known.
    """

    first: int
    count: int
    entries: bytes
    leaves: bytes
    root: bytes | None = None

    @property
    def end(self) -> int:
        """The index behind the last of them."""
        return self.first + self.count


def pieces_of(
    first: int, entries: Sequence[bytes], leaves: Sequence[bytes], roots: Sequence[bytes] = ()
) -> list[Piece]:
    """Return entries cut at the borders of tiles.

    Args:
        first: index of the first entry.
        entries: in order.
        leaves: their leaf hashes.
        roots: of the tiles that end among them, in order, where they are known.

    Raises:
        TileMalformed: an entry is longer than an entry may be.
    """
    pieces: list[Piece] = []
    following = iter(roots)
    start = 0
    while start < len(entries):
        end = min(len(entries), start + TILE_WIDTH - (first + start) % TILE_WIDTH)
        root = next(following, None) if (first + end) % TILE_WIDTH == 0 else None
        raw, hashes = join_entries(entries[start:end]), b"".join(leaves[start:end])
        pieces.append(Piece(first + start, end - start, raw, hashes, root))
        start = end
    return pieces


def pieces_of_plan(plan: Plan) -> list[Piece]:
    """Return what a plan appends, cut at the borders of tiles.

    Raises:
        TileMalformed: an entry is longer than an entry may be.
    """
    return pieces_of(plan.before.size, plan.entries, plan.leaves, plan.completed(TILE_HEIGHT))


class Handover:
    """Between the writer and the publisher of one log; for both their threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: deque[Piece] = deque()
        self._size_bytes = 0
        self._published_size = 0

    @property
    def published_size(self) -> int:
        """How many entries the published files hold, as far as this process knows."""
        return self._published_size

    def add(self, pieces: Sequence[Piece]) -> None:
        """Hand over what was committed, in the order of commits."""
        with self._lock:
            self._pieces.extend(pieces)
            self._size_bytes += sum(len(piece.entries) + len(piece.leaves) for piece in pieces)
            while self._size_bytes > HANDED_SIZE_MAX_BYTES:
                self._forget_first()

    def between(self, start: int, end: int) -> Iterator[Piece]:
        """Yield what is still here of the entries [start, end), in order; there may be gaps.

        One by one: a publisher that held all of them would keep alive what is forgotten here meanwhile, so that twice
        the bound were in memory.
        """
        while (piece := self._next(start, end)) is not None:
            start = piece.end
            yield piece

    def _next(self, start: int, end: int) -> Piece | None:
        """Return the first piece that begins at `start` or later and ends by `end`."""
        with self._lock:
            at = bisect_left(self._pieces, start, key=lambda piece: piece.first)
            if at == len(self._pieces) or self._pieces[at].end > end:
                return None
            return self._pieces[at]

    def publish(self, size: int) -> None:
        """Note that the published files hold the first `size` entries; they are not needed here any more."""
        with self._lock:
            self._published_size = size
            while self._pieces and self._pieces[0].end <= size:
                self._forget_first()

    def _forget_first(self) -> None:
        piece = self._pieces.popleft()
        self._size_bytes -= len(piece.entries) + len(piece.leaves)
