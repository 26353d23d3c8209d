"""Writes that wait are committed together: what is refused, broken or too large takes no other with it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from databases import lay_files
from signers import NOW_S
from sqlalchemy import insert, select

from tallystick_ledger.encoding import canonical_json
from tallystick_ledger.errors import EntryMalformed
from tallystick_ledger.tlog.blob import ENTRY_SIZE_MAX_BYTES, split_entries
from tallystick_ledger.tlog.proof import check_proof, parse_proof
from tallystick_ledger.tlog.signers import NoteSigner
from tallystick_ledger.tlog.tiles import TILE_WIDTH
from tallystick_node.clock import SetClock
from tallystick_node.config import databases_of, load_settings
from tallystick_node.errors import IdempotencyRefused, NotFound, Refused, StorageUnavailable, no_such_thing
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.log.writer import COMMIT_WRITES_MAX, QUEUE_WRITES_MAX
from tallystick_node.node import Node
from tallystick_node.setup import create_node, open_node
from tallystick_node.storage.tables import BLOBS, HEADS, IDEMPOTENCY, NONCES, PARTNERS

WITHIN_S = 60


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    clock = SetClock(NOW_S)
    create_node(tmp_path, host="gym.example", url="http://gym.example", bind="127.0.0.1:1", sandbox=True, clock=clock)
    lay_files(databases_of(load_settings(tmp_path), tmp_path, {}))
    node = open_node(tmp_path, clock=clock)
    yield node
    node.close()


def append(transaction: Transaction) -> int:
    transaction.subject = ""
    return transaction.append("event", {"commitment": "A" * 43}).index


def append_then(fail: Callable[[Transaction], Any]) -> Callable[[Transaction], int]:
    """Return a write that has appended and changed rows already when it fails."""

    def work(transaction: Transaction) -> int:
        index = append(transaction)
        row = {"host": "half.example", "fingerprint": "", "descriptor": "", "added_at_s": 0}
        transaction.execute(insert(PARTNERS).values(**row))
        fail(transaction)
        return index

    return work


def together(node: Node, works: list[Callable[[Transaction], Any]]) -> list["Future[Any]"]:
    """Queue writes so that they are committed in one group."""
    gate = threading.Event()
    first = node.writer.submit(lambda _: gate.wait(WITHIN_S))
    answers: list[Future[Any]] = [node.writer.submit(work) for work in works]
    gate.set()
    first.result(WITHIN_S)
    return answers


def entries_of(node: Node) -> list[bytes]:
    """Return every entry in the database, once it is seen that they follow one another."""
    entries: list[bytes] = []
    for row in node.rows(select(BLOBS).order_by(BLOBS.c.first)):
        assert row.first == len(entries), "the log has a gap"
        entries += split_entries(row.entries, count=row.count)
    (head,) = node.rows(select(HEADS.c.size))
    assert head.size == len(entries)
    return entries


def _refuse(_: Transaction) -> None:
    raise Refused("limit_reached", "Enough.", remedy="Come back tomorrow.")


def _divide(_: Transaction) -> None:
    raise ZeroDivisionError


def _break_a_constraint(transaction: Transaction) -> None:
    row = {"host": "half.example", "fingerprint": "", "descriptor": "", "added_at_s": 0}
    transaction.execute(insert(PARTNERS).values(**row))


def _collect_what_breaks_a_constraint(transaction: Transaction) -> None:
    transaction.collect(insert(PARTNERS), host="half.example", fingerprint="", descriptor="")


def _collect_then_divide(transaction: Transaction) -> None:
    transaction.collect(insert(PARTNERS), host="half.example", fingerprint="", descriptor="", added_at_s=0)
    raise ZeroDivisionError


def _bind_a_list(transaction: Transaction) -> None:
    transaction.execute(select(PARTNERS.c.host).where(PARTNERS.c.host == []))


def _bind_too_large(transaction: Transaction) -> None:
    transaction.execute(select(PARTNERS.c.host).where(PARTNERS.c.added_at_s == 2**70))


def _append_too_much(transaction: Transaction) -> None:
    transaction.append("event", {"commitment": "A" * ENTRY_SIZE_MAX_BYTES})


FAILURES = (
    _refuse,
    _divide,
    _break_a_constraint,
    _collect_what_breaks_a_constraint,
    _collect_then_divide,
    _bind_a_list,
    _bind_too_large,
    _append_too_much,
)


@pytest.mark.parametrize("fail", FAILURES, ids=[each.__name__.strip("_") for each in FAILURES])
def test_what_fails_takes_no_other_with_it_and_leaves_nothing(node: Node, fail: Callable[[Transaction], None]) -> None:
    tried: list[int] = []

    def append_and_tell(transaction: Transaction) -> int:
        tried.append(1)
        return append(transaction)

    before, failing, after = together(node, [append_and_tell, append_then(fail), append_and_tell])
    error = failing.exception(WITHIN_S)
    assert error is not None
    assert not isinstance(error, StorageUnavailable), "trying again would not help"
    assert (before.result(WITHIN_S).value, after.result(WITHIN_S).value) == (0, 1)
    assert len(tried) == 2, "the others are not even tried twice"
    assert len(entries_of(node)) == 2
    assert node.rows(select(PARTNERS)) == []


def test_many_at_once_every_third_refused_leave_a_log_without_a_gap_and_proofs_that_hold(node: Node) -> None:
    def one(number: int) -> Any:
        work = append_then(_refuse) if number % 3 == 0 else append
        return node.writer.submit(work).exception(WITHIN_S) or node.writer.submit(lambda _: number).result(WITHIN_S)

    with ThreadPoolExecutor(16) as callers:
        results = list(callers.map(one, range(300)))
    assert sum(isinstance(each, Refused) for each in results) == 100
    assert len(entries_of(node)) == 200
    written = node.writer.submit(append).result(WITHIN_S)
    (proof,) = written.proofs
    key = NoteSigner(node.settings.log_origin, node.keys.ed25519("log")).verifier_key
    check_proof(
        parse_proof(proof.proof.encode()), entry=proof.entry.encode(), origin=node.settings.log_origin, keys=[key]
    )


@pytest.mark.parametrize("count", [TILE_WIDTH, TILE_WIDTH + 1, COMMIT_WRITES_MAX + 50])
def test_a_group_may_hold_more_entries_than_a_bundle(node: Node, count: int) -> None:
    answers = together(node, [append] * count)
    assert [answer.result(WITHIN_S).value for answer in answers] == list(range(count))
    assert len(entries_of(node)) == count
    assert node.publisher.publish()
    assert node.publisher.published_size == count


def test_one_write_may_append_more_entries_than_a_bundle_holds(node: Node) -> None:
    written = node.writer.submit(lambda transaction: [append(transaction) for _ in range(2 * TILE_WIDTH + 1)])
    assert len(written.result(WITHIN_S).proofs) == 2 * TILE_WIDTH + 1
    assert len(entries_of(node)) == 2 * TILE_WIDTH + 1


def test_an_entry_is_as_large_as_it_may_be_and_not_a_byte_larger(node: Node) -> None:
    """65,535 bytes: a bundle writes an entry's length in two bytes."""

    def write(size: int) -> Callable[[Transaction], int]:
        def work(transaction: Transaction) -> int:
            return len(transaction.append("event", {"commitment": "A" * size}).entry.raw)

        return work

    empty = node.writer.submit(write(0)).result(WITHIN_S).value
    room = ENTRY_SIZE_MAX_BYTES - empty
    fits, larger = together(node, [write(room), write(room + 1)])
    assert fits.result(WITHIN_S).value == ENTRY_SIZE_MAX_BYTES
    assert isinstance(larger.exception(WITHIN_S), EntryMalformed)
    assert [len(entry) for entry in entries_of(node)] == [empty, ENTRY_SIZE_MAX_BYTES]


def reply(value: object, _proofs: object) -> StoredReply:
    return StoredReply(200, canonical_json({"value": value}).decode())


def _guard(nonce: str) -> Callable[[Transaction], None]:
    def guard(transaction: Transaction) -> None:
        transaction.execute(insert(NONCES).values(key_id="k", nonce=nonce, expires_at_s=1))

    return guard


def test_a_refused_write_keeps_its_guard_and_not_its_key(node: Node) -> None:
    def no(_: Transaction) -> None:
        raise no_such_thing()

    once = Once("peer", "key", "body", _guard("first"))
    assert isinstance(node.writer.submit_once(once, no, reply).exception(WITHIN_S), NotFound)
    assert [row.nonce for row in node.rows(select(NONCES))] == ["first"]
    assert node.rows(select(IDEMPOTENCY)) == []
    again = Once("peer", "key", "another body", _guard("second"))
    assert not node.writer.submit_once(again, append, reply).result(WITHIN_S).replayed


def test_a_reply_is_not_kept_where_the_write_did_not_say_whose_it_is(node: Node) -> None:
    """It would outlive the erasure of whoever it tells of; what the write before it said is not taken for its own."""

    def forgetful(transaction: Transaction) -> int:
        return transaction.append("event", {"commitment": "A" * 43}).index

    gate = threading.Event()
    held = node.writer.submit(lambda _: gate.wait(WITHIN_S))
    before = node.writer.submit_once(Once("app", "before", ""), append, reply)
    forgotten = node.writer.submit_once(Once("app", "forgotten", ""), forgetful, reply)
    gate.set()
    held.result(WITHIN_S)
    assert before.result(WITHIN_S).body == '{"value":0}'
    assert isinstance(forgotten.exception(WITHIN_S), AssertionError)
    assert [row.key for row in node.rows(select(IDEMPOTENCY))] == ["before"]
    assert len(entries_of(node)) == 1


def test_one_key_with_two_bodies_in_one_group_writes_the_first_and_refuses_the_second(node: Node) -> None:
    tried: list[int] = []

    def append_and_tell(transaction: Transaction) -> int:
        tried.append(1)
        return append(transaction)

    gate = threading.Event()
    held = node.writer.submit(lambda _: gate.wait(WITHIN_S))
    first = node.writer.submit_once(Once("app", "key", "one body"), append_and_tell, reply)
    second = node.writer.submit_once(Once("app", "key", "another body"), append_and_tell, reply)
    other = node.writer.submit(append)
    gate.set()
    held.result(WITHIN_S)
    assert first.result(WITHIN_S).body == '{"value":0}'
    assert isinstance(second.exception(WITHIN_S), IdempotencyRefused)
    assert len(tried) == 1
    assert other.result(WITHIN_S).value == 1
    assert len(entries_of(node)) == 2


def test_a_reply_that_cannot_be_written_fails_alone_and_undoes_its_write(node: Node) -> None:
    def broken(_value: object, _proofs: object) -> StoredReply:
        raise ZeroDivisionError

    gate = threading.Event()
    held = node.writer.submit(lambda _: gate.wait(WITHIN_S))
    before = node.writer.submit_once(Once("app", "before", ""), append, reply)
    failing = node.writer.submit_once(Once("app", "failing", ""), append, broken)
    after = node.writer.submit_once(Once("app", "after", ""), append, reply)
    gate.set()
    held.result(WITHIN_S)
    assert isinstance(failing.exception(WITHIN_S), ZeroDivisionError)
    assert [before.result(WITHIN_S).body, after.result(WITHIN_S).body] == ['{"value":0}', '{"value":1}']
    assert len(entries_of(node)) == 2
    assert node.writer.submit_once(Once("app", "failing", ""), append, reply).result(WITHIN_S).body == '{"value":2}'


def test_a_queue_that_is_full_says_so_and_is_emptied(node: Node) -> None:
    gate = threading.Event()
    begun = threading.Event()

    def hold(_: Transaction) -> None:
        begun.set()
        gate.wait(WITHIN_S)

    held = node.writer.submit(hold)
    assert begun.wait(WITHIN_S)
    waiting = [node.writer.submit(lambda _: None) for _ in range(QUEUE_WRITES_MAX)]
    with pytest.raises(StorageUnavailable):
        node.writer.submit(append)
    gate.set()
    held.result(WITHIN_S)
    waiting[-1].result(WITHIN_S)
    assert node.writer.submit(append).result(WITHIN_S).value == 0


def test_what_waits_when_the_node_stops_is_written_and_what_comes_later_is_refused(tmp_path: Path) -> None:
    clock = SetClock(NOW_S)
    create_node(tmp_path, host="gym.example", url="http://gym.example", bind="127.0.0.1:1", sandbox=True, clock=clock)
    node = open_node(tmp_path, clock=clock)
    waiting = [node.writer.submit(append) for _ in range(50)]
    node.close()
    assert [answer.result(WITHIN_S).value for answer in waiting] == list(range(50))
    with pytest.raises(StorageUnavailable):
        node.writer.submit(append)
