"""The whole tree: spans of bundles in order, the levels above them, the root.

Of the tree, one tile a level is held; of the spans, as many as the crew may have on their way. So memory does not grow
with the log.

Source: c2sp.org/tlog-tiles; RFC 6962 section 2.1; LEDGER-FORMATS section 10.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tallystick.audit.findings import Findings
from tallystick.audit.integrity.ahead import Ahead, nobody
from tallystick.audit.integrity.crew import ALONE, Crew
from tallystick.audit.integrity.files import TILE_SIZE_MAX_BYTES, WRONG_FILES_MAX, FileCheck, Kin, Place
from tallystick.audit.integrity.listing import check_listing
from tallystick.audit.integrity.span import Settle, Span, Told, tile_tops
from tallystick.audit.source import Files, Source
from tallystick_ledger.errors import TallyError
from tallystick_ledger.tlog.merkle import root_at
from tallystick_ledger.tlog.reader import TileReader
from tallystick_ledger.tlog.tiles import TILE_HEIGHT, TILE_WIDTH, TilePath

SPAN_BUNDLES = 64
"""16,384 entries: long enough that handing it over costs little, short enough that the last ones end together.
It divides 256."""

REPLAYED_SPAN_BUNDLES = 16
"""4,096 entries, where they are replayed: the replay of a log waits for the first of them. It divides 256."""

Take = Callable[[Sequence[Told]], None]
Progress = Callable[[int, int], None]
"""(entries done, entries in all)"""


@dataclass(frozen=True, slots=True)
class Point:
    """A log as far as it was checked.

    Attributes:
        size: entries.
        root: the root hash they lead to.
    """

    size: int
    root: bytes


def reader_of(
    files: Files,
    size: int,
    *,
    instead: Mapping[str, bytes] = MappingProxyType({}),
    size_max_bytes: int = TILE_SIZE_MAX_BYTES,
) -> TileReader:
    """Return a reader of a tree as a log's tiles have it: as good as what is checked of them.

    Args:
        files: the log.
        size: entries in the tree.
        instead: tiles, by path, to take in place of what is served.
        size_max_bytes: of a file; more where entries are read, too.
    """

    def fetch(path: str) -> bytes:
        raw = instead.get(path) or files.read(path, size_max_bytes=size_max_bytes)
        if raw is None:
            raise LookupError(path)
        return raw

    return TileReader(fetch, size)


class TreeCheck:
    """Recomputes a tree from its entries and holds every file of the log against it.

    Attributes:
        readable: whether every bundle so far could be read.
        wrong: the first few files that are wrong.
    """

    def __init__(self, source: Source, size: int, found: Findings, *, crew: Crew = ALONE) -> None:
        """Check the log of `size` entries at `source`; its files' names are looked at now."""
        self._source = source
        self._size = size
        self._found = found
        self._from = 0
        self._pending: list[list[bytes]] = []  # above level 0: the hashes of the tile being filled, a level each
        self._filled: list[int] = []  # and how many tiles of that level are full
        folders = source.walk()
        self._listed = folders is not None
        self._older: dict[Kin, list[Place]] = {} if folders is None else check_listing(folders, size, found)
        self._check = FileCheck(source.files, self._listed, self._older, found.add)
        self.readable = True
        self.wrong = self._check.wrong
        self._crew = crew
        self._ahead: Ahead | None = None

    def resume(self, since: Point) -> bool:
        """Go on where an earlier audit was; return whether the log is a continuation of what that one saw.

        The tiles of the right edge at that size are read as they are served now. They are what they were where they
        lead to the root of then; no full tile before them is read again.
        """
        if not 0 < since.size <= self._size:
            return since.size == 0
        reader = reader_of(self._source.files, self._size)
        try:
            if root_at(since.size, reader) != since.root:
                return False
            count = since.size >> TILE_HEIGHT
            level = TILE_HEIGHT
            while count:
                full, width = divmod(count, TILE_WIDTH)
                self._filled.append(full)
                self._pending.append([reader(level, full * TILE_WIDTH + at) for at in range(width)])
                count, level = full, level + TILE_HEIGHT
        except (LookupError, TallyError):
            self._pending, self._filled = [], []
            return False
        self._from = since.size
        return True

    def ahead(self, settle: Settle | None, behind: Callable[[], Ahead | None]) -> Ahead:
        """Return the log's spans, of which some may be on their way before it is this log's turn.

        Args:
            settle, behind: as `run` has them.
        """
        if self._ahead is None:
            crew = self._crew
            worth_it = self._size - self._from >= (crew.hashed_min if settle is None else crew.replayed_min)
            given = crew if self._source.portable and worth_it else ALONE
            self._ahead = Ahead(self._source.files, self._spans(settle), given, behind)
        return self._ahead

    def run(
        self,
        take: Take,
        progress: Progress,
        *,
        settle: Settle | None = None,
        passed: Callable[[Point], None] | None = None,
        behind: Callable[[], Ahead | None] = nobody,
    ) -> bytes | None:
        """Return the root that the entries lead to; None, which is a finding, where not all could be read.

        Args:
            take: is given what `settle` made of the entries, in order, up to the first bundle that cannot be read.
            progress: is told how far this is.
            settle: what the replay needs of entries; done with the hashing, by whoever does that.
            passed: is told of points at which everything before was read, and `take` was given all of it.
            behind: gives the spans of the log that is audited after this one, as `Ahead` has it.
        """
        for checked in self.ahead(settle, behind).checked():
            for each in checked.findings:
                self._found.add(each.rule, each.where, each.problem)
            self.wrong += checked.wrong[: max(0, WRONG_FILES_MAX - len(self.wrong))]
            for top in checked.tops:
                self._carry(1, top)
            if self.readable:
                take(checked.told)
            if checked.cut:
                self.readable = False
                return None
            self.readable = self.readable and checked.readable
            done = min(self._size, checked.end * TILE_WIDTH)
            progress(done, self._size)
            if done == self._size:
                for level, hashes in enumerate(self._pending, 1):
                    if hashes:
                        self._check.check_tile(TilePath(level, self._filled[level - 1], len(hashes)), b"".join(hashes))
                return self._root(done, checked.edge)
            if passed is not None and self.readable:
                passed(Point(done, self._root(done, ())))
        return self._root(self._size, ())

    def _spans(self, settle: Settle | None) -> Iterator[Span]:
        end = -(-self._size // TILE_WIDTH)
        length = SPAN_BUNDLES if settle is None else REPLAYED_SPAN_BUNDLES
        older: dict[int, list[Place]] = {}
        for (level, index), places in self._older.items():
            if level <= 0:  # bundles, and tiles of level 0
                older.setdefault(index // length, []).extend(places)
        first = self._from // TILE_WIDTH
        while first < end:
            number = first // length
            until = min(end, (number + 1) * length)
            kin = tuple(older.get(number, ()))
            yield Span(first, until, self._size, self._listed, kin, settle, self._from)
            first = until

    def _carry(self, level: int, node: bytes) -> None:
        """Add the root of a full tile to the level above, and fill that tile's parents in turn."""
        if len(self._pending) < level:
            self._pending.append([])
            self._filled.append(0)
        hashes = self._pending[level - 1]
        hashes.append(node)
        if len(hashes) == TILE_WIDTH:
            tile = b"".join(hashes)
            self._check.check_tile(TilePath(level, self._filled[level - 1], TILE_WIDTH), tile)
            self._filled[level - 1] += 1
            self._carry(level + 1, tile_tops(tile)[0])
            hashes.clear()

    def _root(self, size: int, edge: Sequence[bytes]) -> bytes:
        """Return the root of the first `size` entries, from the right edge alone."""
        tiles: dict[str, bytes] = {}
        for level, hashes in enumerate([edge, *self._pending]):
            if hashes:
                index = self._filled[level - 1] if level else size // TILE_WIDTH
                tiles[TilePath(level, index, len(hashes)).path] = b"".join(hashes)
        return root_at(size, TileReader(tiles.__getitem__, size))
