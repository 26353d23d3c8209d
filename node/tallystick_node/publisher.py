"""Publish the log: tiles and bundles first, then the checkpoint that covers them.

Files are derived from what is committed, so they can always be made again. Each is written beside its place, flushed,
and renamed; the checkpoint comes last. If the power fails before it does, the old head still stands and covers only
files that are whole; what was written for the new one is written again. A head that does not continue the last one is
never signed: a database from an old backup is refused.

Source: C2SP tlog-tiles, LEDGER-FORMATS section 4 (writer order), P2.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine, select

from tallystick.wire import EntryProof
from tallystick_ledger.errors import TallyError
from tallystick_ledger.tlog.checkpoint import open_checkpoint
from tallystick_ledger.tlog.head import Checkpoint, parse_checkpoint_body
from tallystick_ledger.tlog.merkle import EMPTY_ROOT, leaf_hashes, node_hash, prove_inclusion, root_at
from tallystick_ledger.tlog.note import open_note, sign_note
from tallystick_ledger.tlog.proof import InclusionProof
from tallystick_ledger.tlog.reader import TileReader
from tallystick_ledger.tlog.signers import Signer
from tallystick_ledger.tlog.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    BundlePath,
    TilePath,
    decode_bundle,
    encode_bundle,
    paths_between,
    paths_for,
)
from tallystick_node.clock import Clock
from tallystick_node.cosigning import Cosigners
from tallystick_node.errors import LogNotContinued
from tallystick_node.tables import BLOBS, HEADS

CHECKPOINT = "checkpoint"


class _Published(NamedTuple):
    head: Checkpoint
    note: bytes


class Publisher:
    """Keeps the static files of one log as far as the database is, or a little behind."""

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        *,
        origin: str,
        signers: list[Signer],
        clock: Clock,
        cosigners: Cosigners | None = None,
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._origin = origin
        self._signers = signers
        self._keys = [signer.verifier_key for signer in signers]
        self._clock = clock
        self._cosigners = cosigners
        self._lock = threading.Lock()
        self._published = self._last_published()

    @property
    def published_size(self) -> int:
        """How many entries the published head covers."""
        return self._published.head.size

    def publish(self) -> bool:
        """Publish what was committed since; return whether there was anything.

        Raises:
            LogNotContinued: what was committed is not a continuation of what was published.
            ForkSuspected, PolicyUnmet: the witnesses that the settings name do not let it pass.
        """
        with self._lock:
            last, head = self._published.head, self._committed()
            if head.size <= last.size:
                return False
            self._write_tiles(last.size, head.size)
            reader = self.reader(head.size)
            # The files must lead to both heads before the new one is signed.
            if root_at(last.size, reader) != last.root or reader.root() != head.root:
                raise _not_continued()
            note = sign_note(head.body(), self._signers, now_s=self._clock.now_s())
            if self._cosigners is not None:
                note = self._cosigners.gather(head, note, read=reader)
            _write_file(self._folder / CHECKPOINT, note)
            self._drop_covered_partials(last.size, head.size)
            self._published = _Published(head, note)
            return True

    def prove(self, index: int) -> EntryProof | None:
        """Return a published entry with its proof against the published head; None before that head covers it."""
        head, note = self._published  # read once: the hashes would not lead to a head that is published meanwhile
        if not 0 <= index < head.size:
            return None
        reader = self.reader(head.size)
        hashes = tuple(prove_inclusion(index, size=head.size, read=reader))
        proof = InclusionProof(index, hashes, note, None)
        return EntryProof(index=index, entry=reader.entry(index).decode(), proof=proof.encode().decode())

    def checkpoint(self) -> bytes:
        """Return the published head, as it is served."""
        return (self._folder / CHECKPOINT).read_bytes()

    def file(self, path: str) -> bytes | None:
        """Return a published file by its path below the log, None where there is none."""
        try:
            return _read_file(self._folder / path)
        except LookupError:
            return None

    def reader(self, size: int) -> "FolderReader":
        """Return a reader of the published files as of a size."""
        return FolderReader(self._folder, size)

    def _committed(self) -> Checkpoint:
        with self._engine.connect() as connection:
            row = connection.execute(select(HEADS.c.checkpoint)).first()
        if row is None:
            return Checkpoint(self._origin, 0, EMPTY_ROOT)
        return parse_checkpoint_body(open_note(row.checkpoint, self._keys).body)

    def _last_published(self) -> _Published:
        """Return the head in the folder, all its files there; that of an empty log where none of ours stands there.

        Raises:
            LogNotContinued: the database is older than that head.
        """
        for unfinished in self._folder.rglob(".*.new"):
            unfinished.unlink()
        try:
            note = self.checkpoint()
            head, _ = open_checkpoint(note, origin=self._origin, keys=self._keys)
        except (OSError, TallyError):
            return _Published(Checkpoint(self._origin, 0, EMPTY_ROOT), b"")
        if self._committed().size < head.size:
            raise _not_continued()
        if not self._is_whole(head):
            self._write_tiles(0, head.size)
            if not self._is_whole(head):
                raise _not_continued()
        self._drop_covered_partials(0, head.size)
        return _Published(head, note)

    def _is_whole(self, head: Checkpoint) -> bool:
        """Whether every file of a head is there, and the tiles lead to it."""
        try:
            files = (self._folder / path.path for path in paths_for(head.size))
            return all(file.is_file() for file in files) and self.reader(head.size).root() == head.root
        except (LookupError, TallyError):
            return False

    def _write_tiles(self, old_size: int, new_size: int) -> None:
        """Write every bundle, then every tile, that a log of the new size has and one of the old size had not."""
        paths = list(paths_between(old_size, new_size))
        for bundle in (path for path in paths if isinstance(path, BundlePath)):
            start = bundle.index * TILE_WIDTH
            entries = list(self._entries(start, start + bundle.width))
            _write_file(self._folder / bundle.path, encode_bundle(entries))
            _write_file(self._folder / TilePath(0, bundle.index, bundle.width).path, b"".join(leaf_hashes(entries)))
        before, now = self.reader(old_size), self.reader(new_size)
        for tile in (path for path in paths if isinstance(path, TilePath) and path.level > 0):
            level, first = TILE_HEIGHT * tile.level, tile.index * TILE_WIDTH
            known = range(first, max(first, old_size >> level))
            hashes = [before(level, at) for at in known]
            for at in range(first + len(known), first + tile.width):
                hashes.append(node_hash(now(level - 1, 2 * at), now(level - 1, 2 * at + 1)))
            _write_file(self._folder / tile.path, b"".join(hashes))

    def _entries(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the committed entries of a range."""
        with self._engine.connect() as connection:
            starts_before = select(BLOBS.c.first).where(BLOBS.c.first <= start)
            first = connection.execute(starts_before.order_by(BLOBS.c.first.desc()).limit(1)).scalar_one()
            rows = connection.execute(
                select(BLOBS.c.first, BLOBS.c["count"], BLOBS.c.entries)
                .where(BLOBS.c.first >= first, BLOBS.c.first < end)
                .order_by(BLOBS.c.first)
            )
            for blob_first, count, raw in rows:
                for index, entry in enumerate(decode_bundle(raw, count=count), blob_first):
                    if start <= index < end:
                        yield entry

    def _drop_covered_partials(self, old_size: int, new_size: int) -> None:
        """Remove partial tiles whose full tile is published: C2SP lets readers fall back to it."""
        for path in paths_between(old_size, new_size):
            partials = self._folder / f"{path.path}.p"
            if path.width == TILE_WIDTH and partials.is_dir():
                for each in partials.iterdir():
                    each.unlink()
                partials.rmdir()


class FolderReader(TileReader):
    """Reads a published log from its folder."""

    def __init__(self, folder: Path, size: int) -> None:
        super().__init__(lambda path: _read_file(folder / path), size)
        self._size = size

    def root(self) -> bytes:
        """Return the root of the tree that the files lead to."""
        return root_at(self._size, self)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LookupError(path.name) from error


def _write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, durably."""
    _make_folder(path.parent)
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    _flush_folder(path.parent)


def _make_folder(folder: Path) -> None:
    """Make a folder durably: a file in it is only as safe as the names above it."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _not_continued() -> LogNotContinued:
    return LogNotContinued(
        "The database does not continue the log that was published.",
        remedy="Restore the newest backup; if none is as new as the published log, begin a new log.",
    )
