"""What a commit writes: one blob, one head, one after the other, whoever else writes the same log."""

import queue
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from pathlib import Path

import pytest
from databases import Server
from ownlog import CLOCK, LOG, ORIGIN, Log, finished, own_log
from signers import ed25519_key
from sqlalchemy import insert, select

from tallystick_ledger.errors import EntryMalformed
from tallystick_ledger.tlog.blob import ENTRY_SIZE_MAX_BYTES, split_entries
from tallystick_ledger.tlog.hashing import leaf_hashes
from tallystick_ledger.tlog.merkle import Frontier
from tallystick_ledger.tlog.note import open_note
from tallystick_ledger.tlog.proof import check_proof, parse_proof
from tallystick_ledger.tlog.signers import NoteSigner
from tallystick_node.errors import LogEnded, NotFound, StorageUnavailable, no_such_thing
from tallystick_node.keys.signing import FixedSigners
from tallystick_node.log.proof_service import ProofService
from tallystick_node.log.rows import BLOB_SIZE_MAX_BYTES, drop_blobs
from tallystick_node.log.store import FolderStore
from tallystick_node.log.transaction import Transaction
from tallystick_node.log.writer import OwnLog, Writer
from tallystick_node.migrations import Schema
from tallystick_node.storage.database import writing
from tallystick_node.storage.driver import Driver
from tallystick_node.storage.tables import BLOBS, HEADS, PARTNERS

WITHIN_S = 30


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with own_log(tmp_path) as log:
        yield log


def entries_of(log: Log, name: str = "2027") -> list[bytes]:
    """Return every entry of a log in the database, once it is seen that they follow one another to its head."""
    with log.engine.connect() as connection:
        entries: list[bytes] = []
        for row in connection.execute(select(BLOBS).where(BLOBS.c.log == name).order_by(BLOBS.c.first)):
            assert row.first == len(entries), "the log has a gap"
            entries += split_entries(row.entries, count=row.count)
        head = connection.execute(select(HEADS).where(HEADS.c.log == name)).one()
    frontier = Frontier.empty().extend(leaf_hashes(entries))
    assert (head.size, head.peaks) == (len(entries), b"".join(frontier.peaks))
    return entries


@pytest.mark.parametrize("count", [1, 255, 256, 257, 1_000])
def test_one_commit_is_one_blob(log: Log, count: int) -> None:
    log.append(finished(0, 3))
    written = log.append(finished(3, count))
    assert written.indexes == range(3, 3 + count)
    assert log.blobs() == [(0, 3), (3, count)]
    assert entries_of(log) == finished(0, 3 + count)


def test_a_large_commit_is_cut_at_the_borders_of_tiles(log: Log) -> None:
    size_bytes = 2_000
    count = 2 * BLOB_SIZE_MAX_BYTES // size_bytes
    log.append(finished(0, 10))
    log.append(finished(10, count, size_bytes=size_bytes))
    firsts = [first for first, _ in log.blobs()]
    assert firsts[:2] == [0, 10]
    assert len(firsts) > 3
    assert all(first % 256 == 0 for first in firsts[2:])
    assert entries_of(log) == finished(0, 10) + finished(10, count, size_bytes=size_bytes)


def test_a_proof_is_made_on_demand_under_the_head_of_its_commit(log: Log) -> None:
    log.append(finished(0, 7))
    written = log.append(finished(7, 600))
    log.append(finished(607, 5))
    for proof in written.proofs[::99]:
        head = check_proof(
            parse_proof(proof.proof.encode()), entry=proof.entry.encode(), origin=ORIGIN, keys=[LOG.verifier_key]
        )
        assert (head.size, proof.entry.encode()) == (607, finished(proof.index, 1)[0])
    assert open_note(written.commit.checkpoint, [LOG.verifier_key]).body.splitlines()[1] == b"607"


def test_a_finished_entry_is_as_large_as_it_may_be_and_no_larger(log: Log) -> None:
    with pytest.raises(EntryMalformed):
        log.append([b"small", bytes(ENTRY_SIZE_MAX_BYTES + 1)])
    log.append([bytes(ENTRY_SIZE_MAX_BYTES)])
    assert entries_of(log) == [bytes(ENTRY_SIZE_MAX_BYTES)]


def test_a_lone_write_that_is_refused_leaves_nothing_and_the_next_one_is_written(log: Log) -> None:
    def change_then_refuse(transaction: Transaction) -> None:
        transaction.append_finished([b"never"])
        row = {"host": "half.example", "fingerprint": "", "descriptor": "", "added_at_s": 0}
        transaction.execute(insert(PARTNERS).values(**row))
        raise no_such_thing()

    for ask in (log.writer.write, lambda work: log.writer.submit(work).result(WITHIN_S)):
        with pytest.raises(NotFound):
            ask(change_then_refuse)
    log.append(finished(0, 1))
    assert entries_of(log) == finished(0, 1)
    with log.engine.connect() as connection:
        assert connection.execute(select(PARTNERS)).all() == []


def test_threads_that_write_for_themselves_and_those_that_queue_take_turns(log: Log) -> None:
    def write(number: int) -> int:
        def work(transaction: Transaction) -> int:
            return transaction.append_finished([b"%d" % number]).start

        written = log.writer.write(work) if number % 2 else log.writer.submit(work).result(WITHIN_S)
        assert written.indexes == range(written.value, written.value + 1)
        return written.value

    with ThreadPoolExecutor(8) as threads:
        places = list(threads.map(write, range(400)))
    assert sorted(places) == list(range(400))
    entries = entries_of(log)
    assert all(entries[place] == b"%d" % number for number, place in enumerate(places))


def test_nothing_is_written_after_the_writer_was_closed(tmp_path: Path) -> None:
    with own_log(tmp_path) as log:
        log.writer.close()
        with pytest.raises(StorageUnavailable):
            log.append(finished(0, 1))
        assert log.blobs() == []


def test_published_entries_go_in_small_pieces(tmp_path: Path) -> None:
    """One commit drops no more than a megabyte, or twice what it adds itself."""
    with own_log(tmp_path, keeps_published=False) as log:
        for start in range(0, 8_000, 1_000):
            log.append(finished(start, 1_000, size_bytes=400))
        publisher = log.publisher(FolderStore(tmp_path / "log"))
        publisher.publish()
        left = []
        for number in range(5):
            log.append(finished(8_000 + number, 1))
            left.append(sum(count == 1_000 for _, count in log.blobs()))
        assert left == [6, 4, 2, 0, 0]
        proven = ProofService(publisher).entry(0)
        assert proven is not None
        assert proven.entry.encode() == finished(0, 1, size_bytes=400)[0]


def test_a_blob_that_is_published_in_part_is_kept(log: Log, tmp_path: Path) -> None:
    log.append(finished(0, 10))
    log.append(finished(10, 10))
    log.publisher(FolderStore(tmp_path / "log")).publish()
    log.append(finished(20, 1))
    log.writer.write(lambda transaction: drop_blobs(Driver(transaction.connection), "2027", until=15))
    assert log.blobs() == [(10, 10), (20, 1)]


def test_a_drop_that_fails_leaves_a_connection_that_overwrites_what_it_deletes(log: Log) -> None:
    """The next that is deleted on it may be somebody's."""
    log.append(finished(0, 10))
    with writing(log.engine).begin() as connection:
        with pytest.raises(sqlite3.DatabaseError, match="append only"):
            drop_blobs(Driver(connection), "2027", until=10)  # nothing of it is published
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1


def test_entries_that_are_not_published_are_not_dropped(tmp_path: Path) -> None:
    with own_log(tmp_path, keeps_published=False) as log:
        for start in range(0, 50, 10):
            log.append(finished(start, 10))
        assert entries_of(log) == finished(0, 50)


# A log and its successor


def test_a_successor_goes_on_where_a_log_ended(log: Log) -> None:
    successor = OwnLog("2027-2", f"{ORIGIN}-2", FixedSigners(NoteSigner(f"{ORIGIN}-2", ed25519_key("log"))))
    log.append(finished(0, 5))
    opened = log.writer.go_on_in(successor, lambda transaction: transaction.append_finished([b"opening"])).result()
    assert (opened.value, log.writer.log.name) == (range(1), "2027-2")
    assert log.append(finished(0, 2)).indexes == range(1, 3)
    assert entries_of(log, "2027") == finished(0, 5)
    assert entries_of(log, "2027-2") == [b"opening", *finished(0, 2)]
    body = open_note(log.append([b"more"]).commit.checkpoint, successor.signers.keys()).body
    assert body.startswith(successor.origin.encode() + b"\n4\n")


def test_a_move_that_fails_moves_nothing(log: Log) -> None:
    def refuse(transaction: Transaction) -> None:
        transaction.append_finished([b"opening"])
        raise no_such_thing()

    log.append(finished(0, 1))
    with pytest.raises(NotFound):
        log.writer.go_on_in(OwnLog("2028", "gym.example/log/2028", FixedSigners(LOG)), refuse).result(WITHIN_S)
    assert log.append(finished(1, 1)).indexes == range(1, 2)
    assert entries_of(log) == finished(0, 2)


def test_another_process_appends_nothing_to_a_log_that_has_ended(log: Log, tmp_path: Path) -> None:
    other = Log(tmp_path / "node.db")
    other.append(finished(0, 1))
    log.writer.go_on_in(OwnLog("2028", "gym.example/log/2028", FixedSigners(LOG)), lambda _: None).result(WITHIN_S)
    with pytest.raises(LogEnded, match="2028"):
        other.append(finished(1, 1))
    assert entries_of(log) == finished(0, 1)
    other.close()


def test_where_the_next_log_cannot_be_opened_nobody_waits_for_ever_and_it_is_tried_again(log: Log) -> None:
    """Another process has begun the year's log, and just now its place cannot be reached from here."""
    following = OwnLog("2028", "gym.example/log/2028", FixedSigners(LOG))
    away = [OSError("the object store failed"), no_such_thing()]

    def opened(name: str) -> OwnLog:
        assert name == "2028"
        if away:
            raise away.pop(0)
        return following

    other = Writer(log.engine, log=log.own, clock=CLOCK, random_bytes=bytes, log_named=opened)
    log.append(finished(0, 1))
    log.writer.go_on_in(following, lambda transaction: transaction.append_finished([b"opening"])).result(WITHIN_S)
    for refused in (StorageUnavailable, NotFound):
        with pytest.raises(refused):
            other.submit(lambda transaction: transaction.append_finished([b"one"])).result(WITHIN_S)
    assert other.submit(lambda transaction: transaction.append_finished([b"one"])).result(WITHIN_S).indexes == range(
        1, 2
    )
    assert entries_of(log, "2028") == [b"opening", b"one"]
    other.close()


def test_a_log_that_another_process_has_begun_is_not_begun_again(log: Log) -> None:
    following = OwnLog("2028", "gym.example/log/2028", FixedSigners(LOG))
    other = Writer(log.engine, log=log.own, clock=CLOCK, random_bytes=bytes, log_named=lambda _: following)
    log.append(finished(0, 1))
    for writer, refused in ((log.writer, False), (other, True)):
        with pytest.raises(LogEnded) if refused else nullcontext():
            begun = writer.go_on_in(following, lambda transaction: transaction.append_finished([b"opening"]))
            begun.result(WITHIN_S)
    other.write(lambda transaction: transaction.append_finished([b"one"]))
    assert entries_of(log, "2028") == [b"opening", b"one"]
    other.close()


class Slow(queue.SimpleQueue):  # type: ignore[type-arg]
    """A queue in which much may happen between a look at it and what is then put there."""

    looked, told = threading.Event(), threading.Event()

    def qsize(self) -> int:
        self.looked.set()
        self.told.wait(WITHIN_S)
        return super().qsize()


def test_who_comes_while_the_writer_stops_is_not_left_waiting(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(queue, "SimpleQueue", Slow)
        writer = Writer(log.engine, log=log.own, clock=CLOCK, random_bytes=bytes)
    with ThreadPoolExecutor(2) as threads:
        asked = threads.submit(writer.submit, lambda transaction: transaction.append_finished([b"one"]))
        Slow.looked.wait(WITHIN_S)
        stopped = threads.submit(writer.close)
        wait([stopped], timeout=0.2)  # time enough to put an end before it
        Slow.told.set()
        assert asked.result(WITHIN_S).result(WITHIN_S).indexes == range(1)
    with pytest.raises(StorageUnavailable):
        writer.submit(lambda transaction: transaction.append_finished([b"two"]))


# Several writers on one database


def take_turns(logs: list[Log], commits: int) -> None:
    """Let writers append to one log at the same time, again and again; it must have one order and no fork."""
    begin = threading.Barrier(len(logs))

    def write(author: int) -> list[tuple[int, bytes]]:
        mine = []
        for number in range(commits):
            begin.wait(WITHIN_S)
            entry = b"%d of %d" % (number, author)
            mine.append((logs[author].append([entry]).indexes.start, entry))
        return mine

    with ThreadPoolExecutor(len(logs)) as threads:
        placed = [each for mine in threads.map(write, range(len(logs))) for each in mine]
    entries = entries_of(logs[0])
    assert sorted(index for index, _ in placed) == list(range(len(logs) * commits))
    assert all(entries[index] == entry for index, entry in placed)


@pytest.mark.parametrize("both_publish", [False, True])
def test_two_writers_on_one_postgresql_take_turns_on_the_heads_row(
    postgres: Server, tmp_path: Path, both_publish: bool
) -> None:
    place = postgres.fresh(Schema.NODE)
    logs = [Log(place), Log(place)]
    take_turns(logs, 40)
    for number, log in enumerate(logs[: 2 if both_publish else 1]):
        publisher = log.publisher(FolderStore(tmp_path / str(number)))
        assert publisher.publish()
        assert publisher.published_size == 80
    for log in logs:
        log.close()


def test_two_writers_on_one_file_take_turns(log: Log, tmp_path: Path) -> None:
    other = Log(tmp_path / "node.db")
    take_turns([log, other], 20)
    other.close()
