"""The one writer: a queue, one transaction for all that waits, one fsync, then everybody's answer.

A write is a function of a `Transaction`. All writes that wait are run in one database transaction, each behind a
savepoint of its own, so that one that is refused takes no other with it. Their entries become one plan, the head moves,
the commit returns (which is the fsync), and only then is anybody answered. If the power fails before that, nobody was
answered and nothing is there; if it fails after, everything is.

Source: DESIGN section 6 (writing), P2, P10.
"""

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import Executable

from tallystick.wire import EntryProof
from tallystick_ledger.append import Plan, plan_append
from tallystick_ledger.encoding import new_id
from tallystick_ledger.entry import BLIND_SIZE_BYTES, Entry, make_entry
from tallystick_ledger.tlog.head import Checkpoint
from tallystick_ledger.tlog.merkle import HASH_SIZE_BYTES, Frontier
from tallystick_ledger.tlog.note import sign_note
from tallystick_ledger.tlog.proof import InclusionProof
from tallystick_ledger.tlog.signers import NoteSigner
from tallystick_ledger.tlog.tiles import TILE_WIDTH, encode_bundle
from tallystick_node.clock import Clock
from tallystick_node.database import is_storage_trouble, storage_errors, unavailable
from tallystick_node.errors import IdempotencyRefused, StorageUnavailable
from tallystick_node.tables import BLOBS, HEADS, IDEMPOTENCY

COMMIT_WRITES_MAX = 1_000
QUEUE_WRITES_MAX = 20_000

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Appended:
    """An entry that will be in the log once the transaction commits, and where."""

    entry: Entry
    index: int


class Transaction:
    """What a write may do: read and change rows, and append entries."""

    def __init__(
        self, connection: Connection, *, first_index: int, now_s: int, random_bytes: Callable[[int], bytes]
    ) -> None:
        self.connection = connection
        self.now_s = now_s
        self.random_bytes = random_bytes
        self.entries: list[Entry] = []
        self._first_index = first_index

    def append(self, kind: str, body: dict[str, Any], *, entry_id: str | None = None) -> Appended:
        """Append an entry.

        Raises:
            EntryMalformed: the entry exceeds its bounds.
        """
        entry = make_entry(
            kind,
            body,
            entry_id=entry_id or self.new_id("ent"),
            blind=self.random_bytes(BLIND_SIZE_BYTES),
            at_s=self.now_s,
        )
        self.entries.append(entry)
        return Appended(entry, self._first_index + len(self.entries) - 1)

    def new_id(self, prefix: str) -> str:
        """Return a fresh random identifier."""
        return new_id(prefix, self.random_bytes(16))

    def execute(self, statement: Executable) -> Any:
        """Run one statement."""
        return self.connection.execute(statement)

    def row(self, statement: Executable) -> Any | None:
        """Return the first row of a statement, None where there is none."""
        return self.connection.execute(statement).first()


@dataclass(frozen=True, slots=True)
class Written(Generic[T]):
    """What a write gave, and the proofs of the entries it made."""

    value: T
    proofs: tuple[EntryProof, ...]


@dataclass(frozen=True, slots=True)
class StoredReply:
    """A reply as it is given, and given again for the same idempotency key.

    Attributes:
        kept: what is stored in place of the body, where the body holds what must not lie in the database in clear; who
            asks again fills it in. None where the body itself is stored.
    """

    status: int
    body: str
    replayed: bool = False
    kept: str | None = None


@dataclass(frozen=True, slots=True)
class Once:
    """What makes a write happen once: who asks, under which key, for what.

    Attributes:
        guard: run before anything else, and kept whatever follows: it refuses a signed request that was seen before.
    """

    caller: str
    key: str
    fingerprint: str
    guard: Callable[[Transaction], None] | None = None


@dataclass(slots=True)
class _Job:
    work: Callable[[Transaction], Any]
    answer: "Future[Any]"
    once: Once | None = None
    render: Callable[[Any, tuple[EntryProof, ...]], StoredReply] | None = None


@dataclass(slots=True)
class _Outcome:
    job: _Job
    value: Any = None
    error: BaseException | None = None
    replayed: StoredReply | None = None
    indexes: range = field(default_factory=lambda: range(0))


class Writer:
    """Runs every write of a node, in order, in a thread of its own."""

    def __init__(
        self,
        engine: Engine,
        *,
        origin: str,
        signer: NoteSigner,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        group_max: int = COMMIT_WRITES_MAX,
    ) -> None:
        self._engine = engine.execution_options(writes=True)
        self._origin = origin
        self._signer = signer
        self._clock = clock
        self._random_bytes = random_bytes
        self._group_max = group_max
        self._queue: queue.Queue[_Job | None] = queue.Queue(QUEUE_WRITES_MAX)
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._closed = threading.Event()
        self._thread.start()

    def submit(self, work: Callable[[Transaction], T]) -> "Future[Written[T]]":
        """Queue a write; the future holds what it gave once that is durable."""
        answer: Future[Written[T]] = Future()
        self._put(_Job(work, answer))
        return answer

    def submit_once(
        self,
        once: Once,
        work: Callable[[Transaction], T],
        render: Callable[[T, tuple[EntryProof, ...]], StoredReply],
    ) -> "Future[StoredReply]":
        """Queue a write that happens once for its key; the future holds the reply, the first one every time.

        A write that is refused does not use its key up.
        """
        answer: Future[StoredReply] = Future()
        self._put(_Job(work, answer, once, render))
        return answer

    def close(self) -> None:
        """Finish what waits, then stop."""
        self._closed.set()
        self._queue.put(None)
        self._thread.join()

    def _put(self, job: _Job) -> None:
        if self._closed.is_set():
            raise unavailable()
        try:
            self._queue.put_nowait(job)
        except queue.Full as error:
            raise unavailable() from error

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            batch, stop = [first], False
            while len(batch) < self._group_max and not stop:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    stop = True
                else:
                    batch.append(following)
            # Whoever gave up before this is left out; from here on nobody can, so that everybody can be answered.
            for part in _parts([job for job in batch if job.answer.set_running_or_notify_cancel()]):
                self._commit(part)
            if stop:
                return

    def _commit(self, batch: list[_Job]) -> None:
        try:
            with storage_errors(), self._engine.begin() as connection:
                results = self._write(connection, batch)
        except BaseException as error:  # noqa: BLE001  # handed to whoever asked
            if isinstance(error, StorageUnavailable) or len(batch) == 1:
                for job in batch:
                    job.answer.set_exception(error)
                return
            log.warning("a commit failed, and nothing of it was written; each of its writes is now tried alone")
            for job in batch:
                self._commit([job])
            return
        # From here on everything is durable, so everybody may be told.
        for outcome, result in results:
            if outcome.error is not None:
                outcome.job.answer.set_exception(outcome.error)
            else:
                outcome.job.answer.set_result(result)

    def _write(self, connection: Connection, batch: list[_Job]) -> list[tuple[_Outcome, Any]]:
        frontier = load_frontier(connection)
        transaction = Transaction(
            connection, first_index=frontier.size, now_s=self._clock.now_s(), random_bytes=self._random_bytes
        )
        outcomes = [self._attempt(transaction, job) for job in batch]
        plan = plan_append(frontier, [entry.raw for entry in transaction.entries])
        proofs: list[EntryProof] = []
        if plan.entries:
            proofs = self._move_head(connection, plan, now_s=transaction.now_s)
        results: list[tuple[_Outcome, Any]] = []
        for outcome in outcomes:
            own = tuple(proofs[at] for at in outcome.indexes)
            results.append((outcome, self._result(transaction, outcome, own)))
        return results

    def _attempt(self, transaction: Transaction, job: _Job) -> _Outcome:
        before = len(transaction.entries)
        try:
            if job.once is not None:
                if job.once.guard is not None:
                    job.once.guard(transaction)
                replayed = find_reply(transaction.row, job.once)
                if replayed is not None:
                    return _Outcome(job, replayed=replayed)
            with transaction.connection.begin_nested():
                value = job.work(transaction)
        except Exception as error:  # handed to whoever asked; the others' writes go on
            if isinstance(error, DBAPIError) and is_storage_trouble(error):
                raise
            del transaction.entries[before:]
            return _Outcome(job, error=error)
        return _Outcome(job, value=value, indexes=range(before, len(transaction.entries)))

    def _result(self, transaction: Transaction, outcome: _Outcome, proofs: tuple[EntryProof, ...]) -> Any:
        if outcome.error is not None:
            return None
        if outcome.replayed is not None:
            return outcome.replayed
        once, render = outcome.job.once, outcome.job.render
        if once is None or render is None:
            return Written(outcome.value, proofs)
        reply = render(outcome.value, proofs)
        transaction.execute(
            insert(IDEMPOTENCY).values(
                caller=once.caller,
                key=once.key,
                fingerprint=once.fingerprint,
                status=reply.status,
                body=reply.body if reply.kept is None else reply.kept,
                created_at_s=transaction.now_s,
            )
        )
        return reply

    def _move_head(self, connection: Connection, plan: Plan, *, now_s: int) -> list[EntryProof]:
        head = Checkpoint(self._origin, plan.after.size, plan.after.root())
        checkpoint = sign_note(head.body(), [self._signer], now_s=now_s)
        for at in range(0, len(plan.entries), TILE_WIDTH):
            entries = plan.entries[at : at + TILE_WIDTH]
            row = {"first": plan.before.size + at, "count": len(entries), "entries": encode_bundle(entries)}
            connection.execute(insert(BLOBS).values(**row))
        moved = {"size": plan.after.size, "peaks": b"".join(plan.after.peaks), "checkpoint": checkpoint}
        if plan.before.size == 0:
            connection.execute(insert(HEADS).values(id=1, **moved))
        else:
            connection.execute(update(HEADS).values(**moved))
        indexes = range(plan.before.size, plan.after.size)
        return [
            EntryProof(
                index=index,
                entry=raw.decode(),
                proof=InclusionProof(index, tuple(hashes), checkpoint, None).encode().decode(),
            )
            for index, raw, hashes in zip(indexes, plan.entries, plan.prove(indexes), strict=True)
        ]


def _parts(batch: Sequence[_Job]) -> Iterator[list[_Job]]:
    """Yield a batch in parts, in order: of two writes under one key, the second finds the reply of the first."""
    part: list[_Job] = []
    keys: set[tuple[str, str]] = set()
    for job in batch:
        key = None if job.once is None else (job.once.caller, job.once.key)
        if key in keys:
            yield part
            part, keys = [], set()
        part.append(job)
        if key is not None:
            keys.add(key)
    yield part


def load_frontier(connection: Connection) -> Frontier:
    """Return the right edge of the log, its row locked until the transaction ends (on databases that lock rows)."""
    row = connection.execute(select(HEADS.c.size, HEADS.c.peaks).with_for_update()).first()
    if row is None:
        return Frontier.empty()
    peaks = tuple(row.peaks[at : at + HASH_SIZE_BYTES] for at in range(0, len(row.peaks), HASH_SIZE_BYTES))
    return Frontier(row.size, peaks)


def find_reply(row_of: Callable[[Executable], Any | None], once: Once) -> StoredReply | None:
    """Return the reply this key got before, None where it is new.

    Args:
        row_of: runs a query and returns its first row: a transaction's, or a node's own.
        once: whose key, and for what.

    Raises:
        IdempotencyRefused: the key was used for something else.
    """
    row = row_of(
        select(IDEMPOTENCY.c.fingerprint, IDEMPOTENCY.c.status, IDEMPOTENCY.c.body).where(
            IDEMPOTENCY.c.caller == once.caller, IDEMPOTENCY.c.key == once.key
        )
    )
    if row is None:
        return None
    if row.fingerprint != once.fingerprint:
        raise IdempotencyRefused(
            "This idempotency key was used for another request.", remedy="Make a new key for each new write."
        )
    return StoredReply(row.status, row.body, replayed=True)
