"""Files of a log that lose power: whatever was not flushed may be gone, torn or there, and no head ever names it."""

import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from ownlog import LOG, LOG_PQ, ORIGIN, Log, finished, own_log

from tallystick_ledger.tlog.checkpoint import Checkpoint, open_checkpoint
from tallystick_ledger.tlog.hashing import leaf_hashes
from tallystick_ledger.tlog.merkle import Frontier, root_at
from tallystick_ledger.tlog.proof import check_proof, parse_proof
from tallystick_ledger.tlog.reader import TileReader
from tallystick_ledger.tlog.tiles import CHECKPOINT, TILE_WIDTH, parse_path, paths_between, paths_for
from tallystick_node.errors import LogNotContinued, StoreUnavailable
from tallystick_node.log import handover
from tallystick_node.log import store as log_store
from tallystick_node.log.files import edge_places
from tallystick_node.log.proof_service import ProofService
from tallystick_node.log.store import FolderStore

KEYS = [LOG.verifier_key, LOG_PQ.verifier_key]


class PowerFailure(BaseException):
    """The machine is off; nothing runs any more."""


class LossyStore:
    """Files in memory that forget what was not flushed.

    Attributes:
        steps_left: how many more steps happen before the power fails; None for ever.
        durable: what survives.
    """

    def __init__(self) -> None:
        self.steps_left: int | None = None
        self.durable: dict[str, bytes] = {}
        self._unflushed: dict[str, bytes] = {}

    def read(self, path: str) -> bytes:
        return {**self.durable, **self._unflushed}[path]

    def write(self, path: str, content: bytes) -> None:
        self._step()
        self._unflushed[path] = content

    def flush(self) -> None:
        self._step()
        self.durable |= self._unflushed
        self._unflushed.clear()

    def replace(self, path: str, content: bytes) -> None:
        self._step()
        self.durable[path] = content

    def delete(self, path: str) -> None:
        self._step()
        self.durable.pop(path, None)
        self._unflushed.pop(path, None)

    def names(self, folder: str) -> list[str]:
        below = f"{folder}/" if folder else ""
        paths = {**self.durable, **self._unflushed}
        return sorted({path[len(below) :].split("/")[0] for path in paths if path.startswith(below)})

    def lose_power(self, keep: Callable[[bytes], bytes | None]) -> None:
        """Come back with what was flushed, and of the rest what `keep` leaves of each file."""
        left = {path: keep(content) for path, content in self._unflushed.items()}
        self.durable |= {path: content for path, content in left.items() if content is not None}
        self._unflushed.clear()
        self.steps_left = None

    def _step(self) -> None:
        if self.steps_left == 0:
            raise PowerFailure
        if self.steps_left is not None:
            self.steps_left -= 1


REMAINS: dict[str, Callable[[bytes], bytes | None]] = {
    "gone": lambda _: None,
    "torn": lambda content: content[: len(content) // 2],
    "empty": lambda _: b"",
    "zeros": lambda content: bytes(len(content)),
    "whole": lambda content: content,
}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with own_log(tmp_path) as log:
        yield log


def assert_stands(store: LossyStore, entries: list[bytes]) -> Checkpoint:
    """The head that stands is signed, and every entry it covers is read back under it."""
    head, _ = open_checkpoint(store.read(CHECKPOINT), origin=ORIGIN, keys=KEYS)
    reader = TileReader(store.read, head.size)
    assert root_at(head.size, reader) == head.root
    assert head.root == Frontier.empty().extend(leaf_hashes(entries[: head.size])).root()
    assert [reader.entry(index) for index in range(head.size)] == entries[: head.size]
    return head


def assert_tidy(store: LossyStore, size: int) -> None:
    """Nothing lies there but the head and what it covers, and no partial file whose full one does."""
    for path in set(store.durable) - {CHECKPOINT}:
        place = parse_path(path)
        level = getattr(place, "level", 0)
        assert (place.index * TILE_WIDTH + place.width) << 8 * level <= size, path
        assert place.width == TILE_WIDTH or (place.index + 1) * TILE_WIDTH << 8 * level > size, path


@pytest.mark.parametrize("remains", REMAINS)
@pytest.mark.parametrize("more", [3, 500])
def test_power_fails_before_every_step_of_a_publication(log: Log, remains: str, more: int) -> None:
    entries = finished(0, 250 + more)
    log.append(entries[:250])
    published = LossyStore()
    log.publisher(published).publish()
    log.append(entries[250:])
    steps, is_done = 0, False
    while not is_done:
        store = LossyStore()
        store.durable, store.steps_left = dict(published.durable), steps
        try:
            log.publisher(store).publish()
            is_done = True
        except PowerFailure:
            pass
        store.lose_power(REMAINS[remains])
        assert assert_stands(store, entries).size in (250, len(entries))
        again = log.publisher(store, is_restarted=True)
        again.publish()
        assert assert_stands(store, entries).size == len(entries)
        assert_tidy(store, len(entries))
        steps += 1
    assert steps > 2 * (1 + more // TILE_WIDTH), "each bundle and tile is a step"


def not_yet() -> None:
    raise NotYet


class NotYet(Exception):
    """A head is not let pass."""


def test_a_head_that_is_not_let_pass_for_long_has_each_entry_written_once(log: Log) -> None:
    """A witness is away for a day, and the log grows; what was made durable is not made again."""
    store = LossyStore()
    log.append(finished(0, 250))
    publisher = log.publisher(store)
    publisher.publish()
    written: list[str] = []
    write = store.write
    store.write = lambda path, content: written.append(path) or write(path, content)  # type: ignore[method-assign,func-returns-value]
    sizes = [300, 300, 511, 512, 700, 701]
    for before, size in pairwise([250, *sizes]):
        log.append(finished(before, size - before))
        written.clear()
        with pytest.raises(NotYet):
            publisher.publish(still_mine=not_yet)
        edge = {each.path for each in edge_places(size)}
        assert set(written) == {each.path for each in paths_between(before, size)} | edge
        assert len(written) == len(set(written))
        beyond = set(store.durable) - {CHECKPOINT} - {each.path for each in paths_for(250)}
        assert {path for path in beyond if ".p/" in path} == edge, "what was left of earlier attempts is gone"
        assert assert_stands(store, finished(0, size)).size == 250
    assert publisher.publish()
    assert assert_stands(store, finished(0, size)).size == size
    assert_tidy(store, size)


@pytest.mark.parametrize("remains", REMAINS)
def test_power_fails_before_every_step_after_a_head_was_not_let_pass(log: Log, remains: str) -> None:
    entries = finished(0, 800)
    log.append(entries[:250])
    published = LossyStore()
    log.publisher(published).publish()
    log.append(entries[250:])
    steps, is_done = 0, False
    while not is_done:
        store = LossyStore()
        store.durable = dict(published.durable)
        publisher = log.publisher(store)
        with pytest.raises(NotYet):
            publisher.publish(still_mine=not_yet)
        store.steps_left = steps
        try:
            publisher.publish()
            is_done = True
        except PowerFailure:
            pass
        store.lose_power(REMAINS[remains])
        assert assert_stands(store, entries).size in (250, 800)
        log.publisher(store, is_restarted=True).publish()
        assert assert_stands(store, entries).size == 800
        assert_tidy(store, 800)
        steps += 1


def test_what_could_not_be_made_durable_is_written_again(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LossyStore()
    publisher = log.publisher(store)
    log.append(finished(0, 300))

    def fail() -> None:
        store.lose_power(REMAINS["gone"])
        raise OSError("the disk failed")

    with monkeypatch.context() as patched:
        patched.setattr(store, "flush", fail)
        with pytest.raises(StoreUnavailable):
            publisher.publish()
    publisher.publish()
    assert assert_stands(store, finished(0, 300)).size == 300


def test_files_that_another_process_tidied_away_meanwhile_are_there_when_the_head_is(log: Log) -> None:
    """One that starts beside it finds partial tiles beyond the head, and takes them for a power failure's."""
    entries = finished(0, 300)
    store = LossyStore()
    publisher = log.publisher(store)
    log.append(entries)
    with pytest.raises(NotYet):
        publisher.publish(still_mine=not_yet)
    log.publisher(store, is_restarted=True)
    publisher.publish()
    assert assert_stands(store, entries).size == 300


def test_what_lies_beyond_the_head_is_not_served_and_is_written_again(log: Log) -> None:
    """A power failure left a torn tile where the next one belongs; who read it might keep it for ever."""
    entries = finished(0, 300)
    log.append(entries[:200])
    store = LossyStore()
    log.publisher(store).publish()
    log.append(entries[200:])
    store.durable |= {"tile/0/000": b"torn", "tile/entries/000": b"", "tile/0/001.p/44": bytes(7)}
    publisher = log.publisher(store, is_restarted=True)
    assert [publisher.file(path) for path in ("tile/0/000", "tile/entries/000", "tile/0/001.p/44")] == [None] * 3
    assert publisher.file("tile/0/000.p/200") is not None
    publisher.publish()
    assert assert_stands(store, entries).size == 300
    assert publisher.file("tile/0/000") == b"".join(leaf_hashes(entries[:256]))


def test_a_start_reads_no_more_than_the_right_edge(log: Log) -> None:
    log.append(finished(0, 20 * TILE_WIDTH + 5))
    store = LossyStore()
    log.publisher(store).publish()
    read: list[str] = []
    whole = store.read
    store.read = lambda path: read.append(path) or whole(path)  # type: ignore[method-assign,func-returns-value]
    log.publisher(store, is_restarted=True)
    assert {path.rsplit("/")[-3] for path in read if ".p/" in path} <= {"0", "1", "entries"}
    assert len(read) < 10


@pytest.mark.parametrize("size", [5, TILE_WIDTH, 2 * TILE_WIDTH, 2 * TILE_WIDTH + 5])
@pytest.mark.parametrize("damage", ["removed", "cut", "changed"])
def test_a_damaged_right_edge_is_made_again_from_the_database(log: Log, size: int, damage: str) -> None:
    entries = finished(0, size)
    log.append(entries)
    store = LossyStore()
    log.publisher(store).publish()
    last = (size - 1) // TILE_WIDTH
    width = size - last * TILE_WIDTH
    suffix = "" if width == TILE_WIDTH else f".p/{width}"
    for kind in ("entries", "0"):
        path = f"tile/{kind}/{last:03}{suffix}"
        whole = dict(store.durable)
        damaged = {"cut": whole[path][:-1], "changed": whole[path][:-1] + b"!", "removed": b""}[damage]
        store.durable[path] = damaged
        if damage == "removed":
            del store.durable[path]
        log.publisher(store, is_restarted=True)
        assert store.durable == whole


def test_entries_that_are_dropped_are_proved_from_the_files(tmp_path: Path) -> None:
    with own_log(tmp_path, keeps_published=False) as log:
        store = LossyStore()
        publisher = log.publisher(store)
        entries = finished(0, 2_000)
        for start in range(0, 1_900, 100):
            log.append(entries[start : start + 100])
            publisher.publish()
        log.append(entries[1_900:])
        assert log.blobs() == [(1_900, 100)], "each commit drops what was published before it"
        for index in (0, 255, 256, 1_899):
            proven = ProofService(publisher).entry(index)
            assert proven is not None
            assert proven.entry.encode() == entries[index]
            check_proof(parse_proof(proven.proof.encode()), entry=entries[index], origin=ORIGIN, keys=KEYS)
        assert ProofService(publisher).entry(1_900) is None
        restarted = log.publisher(store, is_restarted=True)
        restarted.publish()
        assert assert_stands(store, entries).size == 2_000


def test_files_that_are_lost_when_the_database_has_dropped_them_are_missed(tmp_path: Path) -> None:
    with own_log(tmp_path, keeps_published=False) as log:
        store = LossyStore()
        publisher = log.publisher(store)
        for start in (0, 300):
            log.append(finished(start, 300))
            publisher.publish()
        log.append(finished(600, 1))
        assert log.blobs() == [(600, 1)]
        del store.durable["tile/entries/002.p/88"]
        with pytest.raises(LogNotContinued, match="neither"):
            log.publisher(store, is_restarted=True)


def test_a_store_that_cannot_be_reached_leaves_the_old_head(log: Log) -> None:
    store = LossyStore()
    publisher = log.publisher(store)
    log.append(finished(0, 10))
    publisher.publish()
    log.append(finished(10, 10))
    for step in ("write", "flush", "replace"):
        setattr(store, step, _unreachable)
        with pytest.raises(StoreUnavailable):
            publisher.publish()
        assert publisher.published_size == 10
        delattr(store, step)
    publisher.publish()
    assert assert_stands(store, finished(0, 20)).size == 20


def _unreachable(*_: object) -> None:
    raise OSError("the disk is full")


# The folder


@pytest.mark.parametrize("has_syncfs", [True, False])
def test_a_folder_flushes_every_file_and_every_name_before_the_head(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_syncfs: bool
) -> None:
    """By one call where the system has it, else one by one: each file, and each folder that names a new one."""
    log.append(finished(0, 300))
    flushed: list[Path] = []
    heads: list[bool] = []

    def note(opened: int) -> None:
        path = Path(f"/proc/self/fd/{opened}").readlink()
        heads.append((folder / CHECKPOINT).exists())
        flushed.append(path)

    folder = tmp_path / "log"
    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(log_store, "_SYNCFS", (lambda opened: note(opened) or 0) if has_syncfs else None)
    log.publisher(FolderStore(folder)).publish()
    files = {path for path in folder.rglob("*") if path.name != CHECKPOINT}
    before = {path for path, is_there in zip(flushed, heads, strict=True) if not is_there}
    expected = {folder} if has_syncfs else {tmp_path, folder, *files}
    assert before - {folder / f".{CHECKPOINT}.new"} == expected
    assert flushed[-1] == folder, "the head's own name comes last"


def test_a_flush_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path)
    store.write("tile/0/000.p/1", bytes(32))
    monkeypatch.setattr(log_store, "_SYNCFS", lambda _: -1)
    with pytest.raises(OSError):  # noqa: PT011  # whatever the system says
        store.flush()


def test_what_was_not_handed_over_is_read_from_the_database(log: Log, tmp_path: Path) -> None:
    """As what another process committed: pieces with gaps between."""
    store = FolderStore(tmp_path / "log")
    publisher = log.publisher(store)
    log.append(finished(0, 100))
    log.own.handover.publish(100)  # forgotten, though nothing is published yet
    log.append(finished(100, 400))
    publisher.publish()
    reader = TileReader(store.read, 500)
    assert [reader.entry(index) for index in range(500)] == finished(0, 500)
    assert publisher.published_size == 500


def test_what_is_handed_over_is_bounded_and_the_rest_is_read_from_the_database(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "HANDED_SIZE_MAX_BYTES", 10_000)
    store = LossyStore()
    publisher = log.publisher(store)
    entries = finished(0, 3_000)
    for start in range(0, 3_000, 100):
        log.append(entries[start : start + 100])
    waiting = list(log.own.handover.between(0, 3_000))
    assert 0 < sum(len(piece.entries) + len(piece.leaves) for piece in waiting) <= 10_000
    publisher.publish()
    assert assert_stands(store, entries).size == 3_000
    assert list(log.own.handover.between(0, 3_000)) == []
