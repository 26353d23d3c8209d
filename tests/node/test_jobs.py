"""A node's own work: what is over goes a piece at a time."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from databases import settings_for_databases
from signers import NOW_S
from sqlalchemy import func, insert, select

from tallystick_node.clock import SetClock
from tallystick_node.jobs import IDEMPOTENCY_LIFE_S, PURGED_TOGETHER_MAX, Jobs
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.setup import create_node, open_node
from tallystick_node.storage.tables import IDEMPOTENCY, NONCES


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
