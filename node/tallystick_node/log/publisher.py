"""Publish a log: tiles and bundles first, then the checkpoint that covers them.

Files are derived from what is committed, so they can always be made again. They are written in place, since no head
names them yet, and made durable by one flush; the checkpoint is replaced last. If the power fails before it is, the old
head still stands and covers only files that are whole; whatever lies beyond it is never read, and is written again. A
head that does not continue the last one is never signed: a database from an old backup is refused.

Source: C2SP tlog-tiles, LEDGER-FORMATS section 4 (writer order), P2.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from sqlalchemy import Connection, Engine, select

from tallystick_ledger.errors import TallyError, TileMalformed
from tallystick_ledger.tlog.checkpoint import open_checkpoint
from tallystick_ledger.tlog.hashing import leaf_hashes
from tallystick_ledger.tlog.head import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.merkle import EMPTY_ROOT, root_at
from tallystick_ledger.tlog.note import open_note, sign_note
from tallystick_ledger.tlog.reader import TileReader
from tallystick_ledger.tlog.tiles import (
    CHECKPOINT,
    TILE_HEIGHT,
    TILE_WIDTH,
    BundlePath,
    TilePath,
    decode_bundle,
    parse_path,
)
from tallystick_node.clock import Clock
from tallystick_node.errors import LogNotContinued, StoreUnavailable, log_unreadable
from tallystick_node.keys.signing import LogSigners, counting_keys
from tallystick_node.log.cosigning import Cosigners
from tallystick_node.log.files import Edge, Place, edge_places, root_of_tile, write_files
from tallystick_node.log.handover import Handover, Piece, pieces_of
from tallystick_node.log.rows import stored_entries
from tallystick_node.log.store import LogStore
from tallystick_node.storage.database import single_statements, storage_errors
from tallystick_node.storage.tables import HEADS

FOLDER_TILES_MAX = 1000
"""Tiles of one level that lie in one folder."""


class _Published(NamedTuple):
    head: Checkpoint
    note: bytes
    edge: Edge


class Publisher:
    """Keeps the static files of one log as far as the database is, or a little behind."""

    def __init__(
        self,
        engine: Engine,
        store: LogStore,
        *,
        log: str,
        origin: str,
        signers: LogSigners,
        clock: Clock,
        handover: Handover | None = None,
        cosigners: Cosigners | None = None,
        is_shared: bool = False,
        even_behind: bool = False,
    ) -> None:
        """Take up a log where its published files end.

        Args:
            engine: of the database that holds what is committed.
            store: where the files lie.
            log: the log's name in the database.
            origin: its name in heads.
            signers: of published heads.
            clock: for the times in signatures.
            handover: what the writer in this process committed last; the rest is read from the database.
            cosigners: witnesses to ask.
            is_shared: whether other processes publish this log too, one at a time.
            even_behind: serve what is published also where the database is older: then nothing may be written.

        Raises:
            LogNotContinued: the database is older than the published head, or files are lost that it cannot replace.
            StoreUnavailable: the files cannot be read.
        """
        self._engine, self._reading = engine, single_statements(engine)
        self._store = store
        self._log = log
        self._head = select(HEADS.c.checkpoint).where(HEADS.c.log == log)  # made once: it is asked for all the time
        self._origin = origin
        self._signers = signers
        self._clock = clock
        self._handover = handover or Handover()
        self._cosigners = cosigners
        self._is_shared = is_shared
        self._even_behind = even_behind
        self._lock = threading.Lock()
        self._ahead: Edge | None = None  # durable beyond the published head, which waits for witnesses perhaps
        try:
            self._published = self._last_published()
        except OSError as error:
            raise _unavailable() from error
        self._handover.publish(self.published_size)

    @property
    def origin(self) -> str:
        """The log's name in heads."""
        return self._origin

    @property
    def log_keys(self) -> list[VerifierKey]:
        """Every key that this log was ever signed with."""
        return list(self._signers.keys())

    @property
    def revoked_keys(self) -> Mapping[VerifierKey, int]:
        """Those of them that are revoked, each with the time since when nothing under it counts, in seconds."""
        return self._signers.revoked()

    @property
    def counting_keys(self) -> list[VerifierKey]:
        """Those under which a head that others show counts against this log: who has stolen a key has it revoked."""
        return counting_keys(self._signers)

    @property
    def published_size(self) -> int:
        """How many entries the published head covers."""
        return self._published.head.size

    @property
    def is_behind(self) -> bool:
        """Whether the database is older than what is published: an old one was put in its place."""
        return self.committed().size < self.published_size

    @property
    def published(self) -> tuple[Checkpoint, bytes]:
        """The published head, and its note as it is served: read together, so that the two are of one publication."""
        head, note, _ = self._published
        return head, note

    def publish(self, *, still_mine: Callable[[], None] = lambda: None) -> bool:
        """Publish what was committed since; return whether there was anything.

        Args:
            still_mine: raises where it is another process's turn by now; asked before a head is replaced.

        Raises:
            LogNotContinued: what was committed is not a continuation of what was published.
            ForkSuspected, PolicyUnmet: the witnesses that the settings name do not let it pass.
            StoreUnavailable: the files cannot be written; the old head still stands.
            StorageUnavailable: the database cannot be read.
        """
        with self._lock:
            try:
                if not self._follow():
                    self._published = self._last_published()
                head = self.committed()
                if head.size <= self.published_size:
                    return False
                self._publish(head, still_mine)
            except OSError as error:
                raise _unavailable() from error
            return True

    def follow(self) -> None:
        """Take up the head that another process of this node published, if any and if all of it is there by now.

        Raises:
            StoreUnavailable: the files cannot be read.
        """
        with self._lock:
            try:
                self._follow()
            except OSError as error:
                raise _unavailable() from error

    def _follow(self) -> bool:
        """Take up the head that another process published; return whether what we know is what is published."""
        if not self._is_shared:
            return True
        try:
            note = self.checkpoint()
        except LookupError:
            return self.published_size == 0
        if note != self._published.note:
            head, _ = open_checkpoint(note, origin=self._origin, keys=self._signers.keys())
            edge = self._whole_edge(head) if head.size > self.published_size else None
            if edge is None:
                return False
            self._published = _Published(head, note, edge)
            self._handover.publish(head.size)
        return True

    def _publish(self, head: Checkpoint, still_mine: Callable[[], None]) -> None:
        before = self._published.edge
        edge = self._written_until(head)
        # From here on everything that the new head covers is durable.
        now_s = self._clock.now_s()
        note = sign_note(head.body(), self._signers.heads(now_s), now_s=now_s)
        if self._cosigners is not None:
            note = self._cosigners.gather(head, note, read=self.reader(head.size))
        still_mine()
        self._store.replace(CHECKPOINT, note)
        self._published, self._ahead = _Published(head, note, edge), None
        self._handover.publish(head.size)
        # If the power fails before they are gone, the next start removes them.
        self._drop_covered(before, head.size)

    def _written_until(self, head: Checkpoint) -> Edge:
        """Write every file that a head covers, durably, and return their right edge.

        Where an attempt before this one wrote files and its head then waited for witnesses, this one goes on from
        there: a witness that is away for a day must not have a day's entries written again and again.
        """
        before, ahead = self._published.edge, self._ahead
        begun = before if ahead is None or not before.size < ahead.size <= head.size else ahead
        # Until the new head stands, all these files lie beyond the old one: nobody is to read them, so they are written
        # in place. If the power fails here they may be there in part, and the next publication writes them again.
        edge = write_files(begun, head.size, self._pieces(begun.size, head.size), self._store.write)
        if edge.root() != head.root:
            self._ahead = None
            raise _not_continued()
        # Full files stay once they are durable; another process that starts tidies partial ones beyond the head away.
        for path in edge.files.keys() & begun.files.keys() - before.files.keys():
            self._store.write(path, edge.files[path])
        self._store.flush()
        self._ahead = edge
        if not self._is_shared:  # no other process can have published these
            for path in begun.files.keys() - edge.files.keys() - before.files.keys():
                self._store.delete(path)
        return edge

    def checkpoint(self) -> bytes:
        """Return the head that stands in the store, whoever put it there; it is judged before another goes over it.

        Raises:
            LookupError: there is none.
            OSError: the store does not answer.
        """
        return self._store.read(CHECKPOINT)

    def file(self, path: str) -> bytes | None:
        """Return a published file by its path below the log, None where there is none.

        A tile beyond the published head is none: it may not be whole yet, and who reads it may keep it for ever. The
        head is the one that this process knows: whatever else stands in its place was not judged here.

        Raises:
            LogUnreadable: the store does not answer.
        """
        if path == CHECKPOINT:
            return self._published.note or None
        try:
            return self._store.read(path) if _is_covered(parse_path(path), self.published_size) else None
        except (LookupError, TileMalformed):
            return None
        except OSError as error:
            raise log_unreadable() from error

    def reader(self, size: int) -> TileReader:
        """Return a reader of the published files as of a size."""
        return TileReader(self._store.read, size)

    def committed(self) -> Checkpoint:
        """Return the head of what is committed, published or not.

        Raises:
            StorageUnavailable: the database cannot be read.
        """
        with storage_errors(), self._reading.connect() as connection:
            return self.committed_in(connection)

    def committed_in(self, connection: Connection) -> Checkpoint:
        """Return the same as a transaction sees it."""
        row = connection.execute(self._head).first()
        if row is None:
            return Checkpoint(self._origin, 0, EMPTY_ROOT)
        return parse_checkpoint_body(open_note(row.checkpoint, self._signers.keys()).body)

    def signed_head(self) -> tuple[Checkpoint, bytes]:
        """Return the head of what is committed, and a note of it under the keys that sign now; it is not published.

        Raises:
            SignerUnavailable: the external signer does not sign it.
        """
        head, now_s = self.committed(), self._clock.now_s()
        return head, sign_note(head.body(), self._signers.replies(now_s), now_s=now_s)

    def root_at(self, size: int) -> bytes:
        """Return the root of the first `size` entries that are committed, published or not, 32 bytes.

        Raises:
            LogNotContinued: the database does not hold them.
            StorageUnavailable: it cannot be read.
            OSError: the published files cannot be read.
        """
        with self._lock:
            edge = self._published.edge
            if size <= edge.size:
                return root_at(size, self.reader(edge.size))
            return write_files(edge, size, self._pieces(edge.size, size), lambda _path, _content: None).root()

    def _pieces(self, start: int, end: int) -> Iterator[Piece]:
        """Yield the committed entries [start, end), those that the writer handed over as they are."""
        for piece in self._handover.between(start, end):
            yield from self._stored(start, piece.first)
            yield piece
            start = piece.end
        yield from self._stored(start, end)

    def _stored(self, start: int, end: int) -> Iterator[Piece]:
        """Yield committed entries from the database, a tile at a time.

        Raises:
            LogNotContinued: it does not hold them.
        """
        stored = stored_entries(self._engine, self._log, start, end)
        try:
            while start < end:
                entries = list(islice(stored, TILE_WIDTH - start % TILE_WIDTH))
                yield from pieces_of(start, entries, leaf_hashes(entries))
                start += len(entries)
        except LookupError as error:
            raise _lost() from error

    def _last_published(self) -> _Published:
        """Return the head in the store, and its right edge; that of an empty log where none of ours stands there.

        Raises:
            LogNotContinued: the database is older than that head, or cannot replace what is lost.
        """
        committed = self.committed()
        try:
            note = self.checkpoint()
            head, _ = open_checkpoint(note, origin=self._origin, keys=self._signers.keys())
        except (LookupError, TallyError):
            self._tidy(0, 0, committed.size)
            return _Published(Checkpoint(self._origin, 0, EMPTY_ROOT), b"", Edge(0))
        if committed.size < head.size and not self._even_behind:
            raise _not_continued()
        edge = self._whole_edge(head)
        if edge is None:
            # Others may be reading, so each file is replaced whole. Those of the edge come last on their level, so that
            # a repair which is broken off is begun again.
            edge = write_files(Edge(0), head.size, self._pieces(0, head.size), self._store.replace)
            if edge.root() != head.root:
                raise _not_continued()
        self._tidy(min(self._known_published(), head.size), head.size, max(committed.size, head.size))
        return _Published(head, note, edge)

    def _known_published(self) -> int:
        """Return how far the log was published when the last commit was made."""
        with storage_errors(), self._engine.connect() as connection:
            row = connection.execute(select(HEADS.c.published_size).where(HEADS.c.log == self._log)).first()
        return 0 if row is None else row.published_size

    def _whole_edge(self, head: Checkpoint) -> Edge | None:
        """Return the right edge of a published head; None where a file of it is lost, or is not what it was.

        Everything else was durable before the head was, and takes too long to read at each start: audits do.
        """
        try:
            edge = Edge(head.size, {place.path: self._store.read(place.path) for place in edge_places(head.size)})
            if head.size > 0 and not self._is_last_bundle_whole(head.size):
                return None
            return edge if edge.root() == head.root else None
        except (LookupError, TallyError):
            return None

    def _is_last_bundle_whole(self, size: int) -> bool:
        """Whether the last entries are those of the tree, as the tile of their leaves has it, and the tile above."""
        index = (size - 1) // TILE_WIDTH
        width = size - index * TILE_WIDTH
        reader = self.reader(size)
        entries = decode_bundle(self._store.read(BundlePath(index, width).path), count=width)
        leaves = b"".join(leaf_hashes(entries))
        if self._store.read(TilePath(0, index, width).path) != leaves:
            return False
        return width < TILE_WIDTH or reader(TILE_HEIGHT, index) == root_of_tile(leaves)

    def _drop_covered(self, before: Edge, size: int) -> None:
        """Remove the partial files of the old edge whose full ones are published: C2SP lets readers fall back to them.

        No other tile has any: a tile is made whole in one publication, or is the edge of one. What attempts left whose
        head was never published is gone by then, or where processes share the log, goes at the next start.
        """
        for place in edge_places(before.size):
            full = replace(place, width=TILE_WIDTH)
            if _is_covered(full, size):
                self._delete_all(f"{full.path}.p")

    def _tidy(self, start: int, size: int, end: int) -> None:
        """Remove what a power failure left: partial files that full ones cover, and those beyond the published head.

        Args:
            start: size of the log up to which none can be left.
            size: what the published head covers.
            end: size of the log beyond which nothing can have been written.
        """
        for name in self._store.names(""):
            if name.startswith("."):
                self._store.delete(name)
        level = 0
        while end >> TILE_HEIGHT * level:
            tiles = range(start >> TILE_HEIGHT * (level + 1), (end >> TILE_HEIGHT * (level + 1)) + 1)
            for group in range(tiles.start // FOLDER_TILES_MAX, tiles[-1] // FOLDER_TILES_MAX + 1):
                first = group * FOLDER_TILES_MAX
                self._tidy_folder(TilePath(level, first, TILE_WIDTH), hashes=size >> TILE_HEIGHT * level)
                if level == 0:
                    self._tidy_folder(BundlePath(first, TILE_WIDTH), hashes=size)
            level += 1

    def _tidy_folder(self, first: Place, *, hashes: int) -> None:
        """Remove what is no use of the tiles that lie in one folder with `first`, on a level of so many hashes."""
        folder = first.path.rpartition("/")[0]
        for name in self._store.names(folder):
            if _PARTIAL_FOLDER.fullmatch(name):
                width = hashes - (first.index + int(name[:3])) * TILE_WIDTH
                self._delete_all(f"{folder}/{name}", but=range(1, width + 1) if width < TILE_WIDTH else range(0))

    def _delete_all(self, folder: str, *, but: range = range(0)) -> None:
        """Delete the files in a folder, but partial ones of these widths."""
        kept = {str(width) for width in but}
        for name in self._store.names(folder):
            if name not in kept:
                self._store.delete(f"{folder}/{name}")


_PARTIAL_FOLDER = re.compile(r"[0-9]{3}\.p")


def _is_covered(place: Place, size: int) -> bool:
    """Whether a tree of `size` leaves has every hash or entry of a place."""
    level = 0 if isinstance(place, BundlePath) else place.level
    return (place.index * TILE_WIDTH + place.width) << TILE_HEIGHT * level <= size


def _not_continued() -> LogNotContinued:
    return LogNotContinued(
        "The database does not continue the log that was published.",
        remedy="Restore the newest backup; if none is as new as the published log, begin a new log.",
    )


def _lost() -> LogNotContinued:
    return LogNotContinued(
        "Entries are neither in the published files nor in the database any more.",
        remedy="Restore the log's files from their newest backup.",
    )


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable(
        "The log's files cannot be read or written; nothing was published.",
        remedy="The operator checks the disk or the object store; publication goes on by itself.",
    )
