"""A node's own work: what is over goes a piece at a time, and what is due is found among much that is over."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from databases import settings_for_databases
from signers import NOW_S
from sqlalchemy import event, func, insert, select

from tallystick_node.clock import SetClock
from tallystick_node.flows.expiring import pieces
from tallystick_node.flows.links.ending import UNCONFIRMED_LIFE_S
from tallystick_node.jobs import IDEMPOTENCY_LIFE_S, PURGED_TOGETHER_MAX, ROWS_A_TICK_MAX, Jobs
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.outbox import Outbox
from tallystick_node.setup import create_node, open_node
from tallystick_node.storage.tables import IDEMPOTENCY, LINKS, MESSAGES, NONCES


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    clock = SetClock(NOW_S)
    databases = settings_for_databases()
    create_node(tmp_path, host="gym.example", url="http://gym", bind="a:1", sandbox=True, clock=clock, **databases)
    node = open_node(tmp_path, clock=clock)
    yield node
    node.close()


def test_a_busy_day_s_replies_go_a_piece_at_a_time_and_younger_ones_stay(node: Node) -> None:
    over_s, count = NOW_S - IDEMPOTENCY_LIFE_S - 1, 2 * PURGED_TOGETHER_MAX + 1
    reply = {"caller": "app", "fingerprint": "", "status": 201, "body": "", "subject": ""}
    replies = [{**reply, "key": f"old-{each}", "created_at_s": over_s} for each in range(count)]
    replies.append({**reply, "key": "young", "created_at_s": over_s + 1})
    nonces = [{"key_id": "http-1", "nonce": str(each), "expires_at_s": NOW_S - 1} for each in range(count)]
    nonces.append({"key_id": "http-1", "nonce": "still good", "expires_at_s": NOW_S})

    def fill(transaction: Transaction) -> None:
        transaction.connection.execute(insert(IDEMPOTENCY), replies)
        transaction.connection.execute(insert(NONCES), nonces)

    def left() -> list[int]:
        return [node.rows(select(func.count()).select_from(table))[0][0] for table in (IDEMPOTENCY, NONCES)]

    async def ticks() -> list[list[int]]:
        async with httpx.AsyncClient() as http:
            work = Jobs(node, http)
            counts: list[list[int]] = []
            for _ in range(4):
                await work.housekeep()
                counts.append(left())
            work.close()
        return counts

    node.writer.write(fill)
    gone = (PURGED_TOGETHER_MAX, 2 * PURGED_TOGETHER_MAX, count, count)
    assert asyncio.run(ticks()) == [[count + 1 - each] * 2 for each in gone]


def test_who_may_still_answer_keeps_no_idle_node_writing(node: Node) -> None:
    """Somebody has begun a link; before that has waited for too long there is nothing to write."""
    commits: list[object] = []
    clock, life_s = node.clock, UNCONFIRMED_LIFE_S["recipient"]
    assert isinstance(clock, SetClock)

    def begin(transaction: Transaction) -> None:
        pending = {
            "id": "lnk",
            "partner": "insurer.example",
            "program": "ins-fit",
            "role": "recipient",
            "subject": "ana",
        }
        shown = {"partner_hint": "", "login": "", "state": "pending", "created_at_s": NOW_S, "answered_until_s": 0}
        transaction.execute(insert(LINKS).values(**pending, **shown))

    async def ticks() -> list[int]:
        async with httpx.AsyncClient() as http:
            work = Jobs(node, http)
            await work.housekeep()  # the first one of the day does more
            await node.written(begin)
            event.listen(node.engine, "commit", commits.append)
            counts: list[int] = []
            for waited_s in (life_s - 1, life_s):
                clock.at_s = NOW_S + waited_s
                await work.housekeep()
                counts.append(len(commits))
            work.close()
        return counts

    assert asyncio.run(ticks()) == [0, 1]


MANY = {"claim", "decision", "disclosure", "event", "idempotency", "link", "message", "nonce", "receipt", "reward"}
"""Tables with rows of every member and month."""

FEW = {"answer_to_go", "claim_outstanding", "link_pending", "message_to_go", "receipt_asked", "receipt_running"}
"""Indexes of those rows alone that are not over."""


@pytest.mark.sqlite  # how PostgreSQL looks depends on how many rows there are
def test_what_is_asked_ten_times_a_second_reads_no_table_from_end_to_end(node: Node) -> None:
    """A gym of a million members must not read all of their months to find that nothing is due."""
    asked: dict[str, Any] = {}

    def keep(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            asked[statement] = parameters

    def pause(transaction: Transaction) -> None:
        """Let a claim wait whose receipt is not live, so that all that may leave is looked through."""
        waits = {"id": "msg", "partner": "insurer.example", "path": "claims", "kind": "claim.issued", "about": "clm"}
        under = {"receipt": "rcp", "state": "queued", "not_before_s": NOW_S, "next_attempt_s": NOW_S}
        transaction.execute(insert(MESSAGES).values(**waits, **under))

    async def ticks() -> None:
        async with httpx.AsyncClient() as http:
            work = Jobs(node, http)
            await work.housekeep()  # the first one after a start, and of the day, does more
            event.listen(node.engine, "before_cursor_execute", keep)
            await work.housekeep()
            for piece in pieces(node, rows_max=ROWS_A_TICK_MAX).values():  # as if something of each kind were due
                await node.written(piece)
            outbox = Outbox(node, http, doubt=lambda _: None)
            for change in (lambda _: None, pause):
                await node.written(change)
                assert not await outbox.deliver_next("insurer.example")
            work.close()

    asyncio.run(ticks())
    assert len(asked) > 20
    with node.engine.connect() as connection:
        for statement, parameters in asked.items():
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            for step in plan:
                scanned = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", step.detail)
                assert scanned is None or scanned[1] not in MANY or scanned[2] in FEW, (statement, plan)
