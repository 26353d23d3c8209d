"""The one writer answers everybody: whoever gives up, and whatever comes twice, takes nobody else's answer with it."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from signers import NOW_S

from tallystick_node.clock import SetClock
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction, Written
from tallystick_node.node import Node
from tallystick_node.setup import create_node, open_node

ANSWERED_WITHIN_S = 10


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    clock = SetClock(NOW_S)
    create_node(tmp_path, host="gym.example", url="http://gym.example", bind="127.0.0.1:1", sandbox=True, clock=clock)
    node = open_node(tmp_path, clock=clock)
    yield node
    node.close()


class Held:
    """A write that is under way until it is let go: what is queued meanwhile is committed together."""

    def __init__(self, node: Node) -> None:
        self._let_go = threading.Event()
        begun = threading.Event()

        def work(_transaction: Transaction) -> None:
            begun.set()
            assert self._let_go.wait(ANSWERED_WITHIN_S)

        self.answer = node.writer.submit(work)
        assert begun.wait(ANSWERED_WITHIN_S)

    def let_go(self) -> None:
        self._let_go.set()
        self.answer.result(ANSWERED_WITHIN_S)


def append(transaction: Transaction) -> int:
    transaction.subject = ""
    return transaction.append("event", {"commitment": "A" * 43}).index


def written_once(node: Node, key: str) -> "Future[StoredReply]":
    once = Once("app", key, "the same body")
    return node.writer.submit_once(once, append, lambda index, _: StoredReply(201, str(index)))


def test_one_who_gives_up_while_waiting_is_left_out_and_everybody_else_is_answered(node: Node) -> None:
    held = Held(node)
    given_up: Future[Written[int]] = node.writer.submit(append)
    other = node.writer.submit(append)
    assert given_up.cancel()
    held.let_go()
    assert other.result(ANSWERED_WITHIN_S).value == 0
    assert node.writer.submit(append).result(ANSWERED_WITHIN_S).value == 1


def test_one_who_gives_up_during_the_write_does_not_stop_it(node: Node) -> None:
    held = Held(node)
    assert not held.answer.cancel()
    held.let_go()
    assert node.writer.submit(append).result(ANSWERED_WITHIN_S).value == 0


def test_the_same_request_twice_at_once_is_written_once_and_answered_twice(node: Node) -> None:
    held = Held(node)
    first, other, again = (written_once(node, key) for key in ("swipe-1", "swipe-2", "swipe-1"))
    held.let_go()
    assert first.result(ANSWERED_WITHIN_S) == StoredReply(201, "0")
    assert other.result(ANSWERED_WITHIN_S) == StoredReply(201, "1")
    assert again.result(ANSWERED_WITHIN_S) == StoredReply(201, "0", replayed=True)
