"""The one writer: a queue, one transaction for all that waits, one fsync, then everybody's answer.

A write is a function of a `Transaction`. All writes that wait are run in one database transaction, each behind a
savepoint of its own, so that one that is refused takes no other with it; one that is alone needs none. Their entries
become one plan, the head moves, the commit returns (which is the fsync), and only then is anybody answered. If the
power fails before that, nobody was answered and nothing is there; if it fails after, everything is.

Source: DESIGN section 6 (writing), P2, P10.
"""

import logging
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from tallystick.wire import EntryProof
from tallystick_ledger.append import Plan, plan_append
from tallystick_ledger.errors import TallyError
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.merkle import EMPTY_ROOT, Frontier
from tallystick_ledger.tlog.note import sign_note
from tallystick_node.clock import Clock, steady_s
from tallystick_node.errors import (
    ClockBehind,
    LogEnded,
    SignerUnavailable,
    StorageUnavailable,
    log_read_only,
)
from tallystick_node.keys.signing import LogSigners
from tallystick_node.log.handover import Handover, Piece, pieces_of_plan
from tallystick_node.log.replies import Once, StoredReply, keep_reply, kept_reply
from tallystick_node.log.rows import (
    BLOB_SIZE_MAX_BYTES,
    DROPPED_SIZE_MAX_BYTES,
    LockedHead,
    add_blob,
    drop_blobs,
    end_log,
    lock_head,
    move_head,
    stop_log,
)
from tallystick_node.log.transaction import Commit, Transaction, Written
from tallystick_node.storage.database import is_storage_trouble, storage_errors, unavailable, writing
from tallystick_node.storage.driver import Driver

COMMIT_WRITES_MAX = 1_000
QUEUE_WRITES_MAX = 20_000

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OwnLog:
    """A log that this node writes.

    Attributes:
        name: what follows `HOST/log/` in its origin, such as `2027`; its rows stand under it.
        origin: its name in heads.
        signers: of the head of each commit.
        handover: to whoever publishes it in this process.
    """

    name: str
    origin: str
    signers: LogSigners
    handover: Handover = field(default_factory=Handover)


@dataclass(slots=True)
class _Job:
    work: Callable[[Transaction], Any]
    answer: "Future[Any]"
    once: Once | None = None
    render: Callable[[Any, tuple[EntryProof, ...]], StoredReply] | None = None
    successor: OwnLog | None = None
    even_read_only: bool = False


@dataclass(slots=True)
class _Outcome:
    job: _Job
    value: Any = None
    error: BaseException | None = None
    replayed: StoredReply | None = None
    subject: str = ""
    indexes: range = field(default_factory=lambda: range(0))


class _Undone(Exception):
    """A write that was alone failed, and its transaction with it."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class Writer:
    """Runs every write of a node, in order, in a thread of its own, on a database connection of its own."""

    def __init__(
        self,
        engine: Engine,
        *,
        log: OwnLog,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        keeps_published: bool = True,
        log_named: Callable[[str], OwnLog] | None = None,
    ) -> None:
        """Begin to write.

        Args:
            engine: of the node's database.
            log: where entries go.
            clock: for the times in entries.
            random_bytes: for their ids and blinds.
            keeps_published: whether entries stay in the database once the published files hold them: twice the space,
                and files that are lost can be made again.
            log_named: a log of this node by its name, for when another process has begun a successor to `log`.
        """
        self._engine = writing(engine)
        self._log = log
        self._clock = clock
        self._random_bytes = random_bytes
        self._keeps_published = keeps_published
        self._log_named = log_named
        self._refusal: TallyError | None = None
        self._connection: Connection | None = None
        self._dropped_size = 0  # of the log: no blob that ends before it is left
        self._committing = threading.Lock()  # whoever holds it has the connection, and may commit
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._queueing = threading.Lock()  # so that nothing is queued behind the end, where nobody would answer it
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._closed = threading.Event()
        self._thread.start()

    @property
    def log(self) -> OwnLog:
        """The log that is written now."""
        return self._log

    def write(self, work: Callable[[Transaction], T]) -> Written[T]:
        """Do a write, and return what it gave once that is durable.

        Where nothing else is under way the calling thread commits it: two changes of thread cost as much as a commit.
        """
        job = _Job(work, Future())
        if self._queue.empty() and self._committing.acquire(blocking=False):
            try:
                self._require_open(job)
                self._commit([job])
            finally:
                self._committing.release()
        else:
            self._put(job)
        written: Written[T] = job.answer.result()
        return written

    def submit(self, work: Callable[[Transaction], T], *, even_read_only: bool = False) -> "Future[Written[T]]":
        """Queue a write; the future holds what it gave once that is durable.

        Args:
            work: what to do.
            even_read_only: whether it may be done while the log is read-only, since it appends nothing.
        """
        answer: Future[Written[T]] = Future()
        self._put(_Job(work, answer, even_read_only=even_read_only))
        return answer

    def submit_once(
        self,
        once: Once,
        work: Callable[[Transaction], T],
        render: Callable[[T, tuple[EntryProof, ...]], StoredReply],
        *,
        even_read_only: bool = False,
    ) -> "Future[StoredReply]":
        """Queue a write that happens once for its key; the future holds the reply, the first one every time.

        A write that is refused does not use its key up.
        """
        answer: Future[StoredReply] = Future()
        self._put(_Job(work, answer, once, render, even_read_only=even_read_only))
        return answer

    def go_on_in(self, successor: OwnLog, work: Callable[[Transaction], T]) -> "Future[Written[T]]":
        """Queue the end of this log: `work` writes the first entries of its successor, and all that follows goes there.

        In one transaction; where it fails, nothing has changed. What was queued before is still appended to this log,
        which whoever publishes it must bring to its end.
        """
        answer: Future[Written[T]] = Future()
        self._put(_Job(work, answer, successor=successor))
        return answer

    def refuse(self, refusal: TallyError | None) -> None:
        """Refuse every write from now on, with this error; or take them again, where it is None."""
        self._refusal = refusal

    def make_read_only(self, contradicted_by: bytes) -> "Future[Written[None]]":
        """Queue that nothing is written to this log any more; only a successor goes on.

        Args:
            contradicted_by: the note of a head that our own key signed, and that is of another history of this log.
        """

        def stop(transaction: Transaction) -> None:
            driver = Driver(transaction.connection)
            if lock_head(driver, transaction.log).is_new:  # a database that was lost, and begun anew
                empty = Checkpoint(self._log.origin, 0, EMPTY_ROOT)
                note = sign_note(empty.body(), self._log.signers.replies(transaction.now_s), now_s=transaction.now_s)
                move_head(
                    driver,
                    transaction.log,
                    Frontier.empty(),
                    checkpoint=note,
                    published_size=0,
                    last_at_s=0,
                    is_new=True,
                )
            stop_log(driver, transaction.log, contradicted_by=contradicted_by)

        return self.submit(stop, even_read_only=True)

    def close(self) -> None:
        """Finish what waits, then stop."""
        with self._queueing:
            self._closed.set()
            self._queue.put(None)
        self._thread.join()

    def _put(self, job: _Job) -> None:
        with self._queueing:
            self._require_open(job)
            if self._queue.qsize() >= QUEUE_WRITES_MAX:
                raise unavailable()
            self._queue.put(job)

    def _require_open(self, job: _Job) -> None:
        if self._closed.is_set():
            raise unavailable()
        if self._refusal is not None and not job.even_read_only:
            raise self._refusal

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                break
            batch, stop = [first], False
            while len(batch) < COMMIT_WRITES_MAX and not stop:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    stop = True
                else:
                    batch.append(following)
            # Whoever gave up before this is left out; from here on nobody can, so that everybody can be answered.
            with self._committing:
                for part in _parts([job for job in batch if job.answer.set_running_or_notify_cancel()]):
                    self._commit(part)
            if stop:
                break
        with self._committing:
            self._disconnect()

    def _commit(self, batch: list[_Job]) -> None:
        try:
            with storage_errors():
                results, pieces = self._write(batch)
        except _Undone as undone:
            batch[0].answer.set_exception(undone.error)
            return
        except BaseException as error:  # noqa: BLE001  # handed to whoever asked
            self._disconnect()
            if isinstance(error, LogEnded) and batch[0].successor is None:  # what begins a log is not done in another
                self._follow(batch, error)
                return
            if isinstance(error, StorageUnavailable | SignerUnavailable | ClockBehind | LogEnded) or len(batch) == 1:
                _refuse(batch, error)
                return
            log.warning("a commit failed, and nothing of it was written; each of its writes is now tried alone")
            for job in batch:
                self._commit([job])
            return
        # From here on everything is durable, so everybody may be told.
        self._log = batch[0].successor or self._log
        self._log.handover.add(pieces)
        for outcome, result in results:
            if outcome.error is not None:
                outcome.job.answer.set_exception(outcome.error)
            else:
                outcome.job.answer.set_result(result)

    def _follow(self, batch: list[_Job], ended: LogEnded) -> None:
        """Commit to the log that another process has begun, and go on in it."""
        try:
            if self._log_named is None or ended.successor == self._log.name:
                raise ended
            with storage_errors():
                self._log, self._dropped_size = self._log_named(ended.successor), 0
        except Exception as error:  # noqa: BLE001  # its place is away, perhaps: for the next write it is tried again
            _refuse(batch, error)
        else:
            self._commit(batch)

    @contextmanager
    def _transaction(self) -> Generator[Connection]:
        """Give a transaction on the writer's connection, which is kept: to take one anew costs as much as a commit."""
        if self._connection is None:
            self._connection = self._engine.connect()
        with self._connection.begin():
            yield self._connection

    def _disconnect(self) -> None:
        """Give the connection back, whatever state it is in; the next commit takes one anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _write(self, batch: list[_Job]) -> tuple[list[tuple[_Outcome, Any]], list[Piece]]:
        own = batch[0].successor or self._log
        with self._transaction() as connection:
            driver = Driver(connection)
            head = self._head(driver, own)
            transaction = Transaction(
                connection,
                log=own.name,
                first_index=head.frontier.size,
                now_s=steady_s(self._clock.now_s(), head.last_at_s),
                random_bytes=self._random_bytes,
            )
            is_alone = len(batch) == 1 and (batch[0].once is None or batch[0].once.guard is None)
            outcomes = [self._attempt(transaction, driver, head, job, is_alone=is_alone) for job in batch]
            plan = plan_append(head.frontier, transaction.entries)
            commit, pieces = Commit(plan, b""), list[Piece]()
            if plan.entries:
                commit, pieces = self._move_head(driver, own, head, plan, now_s=transaction.now_s)
            results = [
                (outcome, self._result(driver, outcome, commit, now_s=transaction.now_s)) for outcome in outcomes
            ]
        return results, pieces

    def _head(self, driver: Driver, own: OwnLog) -> LockedHead:
        """Return the head of the log that is written, locked.

        Raises:
            LogEnded: another log goes on where it ended.
        """
        if own is self._log:
            return self._locked(driver, own)
        before = self._locked(driver, self._log)
        end_log(driver, self._log.name, successor=own.name)
        return replace(self._locked(driver, own), last_at_s=before.last_at_s)

    @staticmethod
    def _locked(driver: Driver, own: OwnLog) -> LockedHead:
        head = lock_head(driver, own.name)
        if head.successor is not None:
            raise LogEnded(
                "This log has ended.", remedy=f"Go on in its successor, {head.successor}.", successor=head.successor
            )
        return head

    def _attempt(
        self, transaction: Transaction, driver: Driver, head: LockedHead, job: _Job, *, is_alone: bool
    ) -> _Outcome:
        before = len(transaction.entries)
        transaction.subject = None
        try:
            if head.contradicted_by is not None and not job.even_read_only:
                raise log_read_only()
            if job.once is not None:
                if job.once.guard is not None:
                    job.once.guard(transaction)
                replayed = kept_reply(driver, job.once)
                if replayed is not None:
                    return _Outcome(job, replayed=replayed)
            with nullcontext() if is_alone else _savepoint(driver):
                value = job.work(transaction)
                transaction.run_collected()
                subject = _whose_reply(transaction, job)
        except Exception as error:  # handed to whoever asked; the others' writes go on
            transaction.drop_collected()
            if isinstance(error, DBAPIError | driver.error) and is_storage_trouble(error):
                raise
            if is_alone:
                raise _Undone(error) from error
            del transaction.entries[before:]
            return _Outcome(job, error=error)
        first = transaction.first_index
        indexes = range(first + before, first + len(transaction.entries))
        return _Outcome(job, value=value, subject=subject, indexes=indexes)

    def _result(self, driver: Driver, outcome: _Outcome, commit: Commit, *, now_s: int) -> Any:
        if outcome.error is not None:
            return None
        if outcome.replayed is not None:
            return outcome.replayed
        once, render = outcome.job.once, outcome.job.render
        if once is None or render is None:
            return Written(outcome.value, outcome.indexes, commit)
        reply = render(outcome.value, commit.prove(outcome.indexes))
        keep_reply(driver, once, reply, subject=outcome.subject, now_s=now_s)
        return reply

    def _move_head(
        self, driver: Driver, own: OwnLog, head: LockedHead, plan: Plan, *, now_s: int
    ) -> tuple[Commit, list[Piece]]:
        pieces = pieces_of_plan(plan)
        for blob in _blobs(pieces):
            count, entries = sum(piece.count for piece in blob), b"".join(piece.entries for piece in blob)
            add_blob(driver, own.name, first=blob[0].first, count=count, entries=entries)
        checkpoint = Checkpoint(own.origin, plan.after.size, plan.after.root())
        note = sign_note(checkpoint.body(), own.signers.replies(now_s), now_s=now_s)
        published_size = max(head.published_size, min(own.handover.published_size, head.frontier.size))
        move_head(
            driver,
            own.name,
            plan.after,
            checkpoint=note,
            published_size=published_size,
            last_at_s=now_s,
            is_new=head.is_new,
        )
        if not self._keeps_published and published_size > self._dropped_size:
            size_bytes = max(DROPPED_SIZE_MAX_BYTES, 2 * sum(len(piece.entries) for piece in pieces))
            if not drop_blobs(driver, own.name, until=published_size, size_max_bytes=size_bytes):
                self._dropped_size = published_size
        return Commit(plan, note), pieces


def _refuse(batch: Sequence[_Job], error: BaseException) -> None:
    """Tell everybody of a batch why nothing of it was written."""
    for job in batch:
        job.answer.set_exception(error)


def _blobs(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Yield the pieces of a commit in groups, one a blob: one group, or a few where there is much."""
    blob: list[Piece] = []
    size_bytes = 0
    for piece in pieces:
        if blob and size_bytes + len(piece.entries) > BLOB_SIZE_MAX_BYTES:
            yield blob
            blob, size_bytes = [], 0
        blob.append(piece)
        size_bytes += len(piece.entries)
    yield blob


@contextmanager
def _savepoint(driver: Driver) -> Generator[None]:
    """Undo what is done inside, and nothing else, where it fails."""
    driver.run_text("SAVEPOINT write")
    try:
        yield
    except BaseException:
        driver.run_text("ROLLBACK TO SAVEPOINT write")
        driver.run_text("RELEASE SAVEPOINT write")
        raise
    driver.run_text("RELEASE SAVEPOINT write")


def _whose_reply(transaction: Transaction, job: _Job) -> str:
    """Return the customer that a reply to be kept tells of; one that nobody thought of would outlive its erasure."""
    if transaction.subject is None and job.once is not None:
        raise AssertionError("a write whose reply is kept says which customer that tells of, or that it tells of none")
    return transaction.subject or ""


def _parts(batch: Sequence[_Job]) -> Iterator[list[_Job]]:
    """Yield a batch in parts, in order: of two writes under one key, the second finds the reply of the first, and what
    ends a log is alone."""
    part: list[_Job] = []
    keys: set[tuple[str, str]] = set()
    for job in batch:
        key = None if job.once is None else (job.once.caller, job.once.key)
        if part and (key in keys or job.successor is not None or part[0].successor is not None):
            yield part
            part, keys = [], set()
        part.append(job)
        if key is not None:
            keys.add(key)
    if part:
        yield part
