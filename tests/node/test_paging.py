"""Lists that the node's own staff works through come in pages: each row once, none left out, at any size of page."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import Table, insert
from town import Company, town

from tallystick import AsyncClient, Client, cli
from tallystick.errors import NotFound
from tallystick_ledger.encoding import to_base64url
from tallystick_node.storage.database import connect, writing
from tallystick_node.storage.tables import ACTS, CONTESTS, DECISIONS, DUTIES, ERASURES, RECEIPTS

RECEIPT = "rcp_" + "a" * 26


def rows(table: Table, *told: dict[str, Any]) -> Any:
    """Insert rows of which only what is told matters."""
    empty: dict[type, object] = {int: 0, bytes: b"", bool: False}
    needed = [each for each in table.c if not (each.nullable or each.server_default or each.primary_key)]
    return insert(table).values(
        [{**{c.name: empty.get(c.type.python_type, "") for c in needed}, **row} for row in told]
    )


def five(prefix: str) -> list[str]:
    return [f"{prefix}_{letter * 26}" for letter in "abcde"]


TIMES = (5, 7, 7, 7, 9)
"""Three share a second, so that only the second column tells them apart."""


@pytest.fixture(scope="module")
def gym(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A gym that has five of everything on its lists."""
    with town(tmp_path_factory.mktemp("town")) as made:
        company = made.company("gym.example")
        opened = connect(company.databases.node)
        with writing(opened).begin() as connection:
            told = list(zip(five("rcp"), TIMES, strict=True))
            for each, at_s in told:
                connection.execute(rows(RECEIPTS, {"id": each, "terms": "{}", "unacknowledged_since_s": at_s}))
                connection.execute(rows(DUTIES, {"receipt": each, "due_s": at_s}))
            for number, (each, at_s) in enumerate(zip(five("act"), TIMES, strict=True), 1):
                connection.execute(rows(ACTS, {"id": each, "kind": "erase", "state": "open", "answer_by_s": at_s}))
                connection.execute(rows(DECISIONS, {"id": number}))
            for number, (each, at_s) in enumerate(zip(five("cts"), TIMES, strict=True), 1):
                told_of = {"id": each, "decision": number, "ground": "count_wrong", "answer_by_s": at_s}
                connection.execute(rows(CONTESTS, {**told_of, "state": "open"}))
            for each, at_s in zip(five("ers"), TIMES, strict=True):
                connection.execute(rows(ERASURES, {"id": each, "of": "x", "state": "asked", "due_s": at_s}))
        opened.dispose()
        yield company


Walk = Callable[[Client, int], Iterator[str]]

LISTS: dict[str, tuple[Walk, str, str]] = {
    "duties": (lambda app, size: (each.receipt for each in app.receipts.each_duty(limit=size)), "rcp", "receipt"),
    "unacknowledged": (
        lambda app, size: (each.receipt for each in app.receipts.each_unacknowledged(limit=size)),
        "rcp",
        "receipt",
    ),
    "requests": (lambda app, size: (each.request for each in app.desk.each_request(limit=size)), "act", "request"),
    "contests": (lambda app, size: (each.contest for each in app.decisions.each_contest(limit=size)), "cts", "contest"),
    "erasures": (lambda app, size: (each.erasure for each in app.subjects.each_erasure(limit=size)), "ers", "erasure"),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_walk_lists_every_row_once_whatever_a_page_holds(gym: Company, name: str) -> None:
    walk, prefix, _ = LISTS[name]
    assert [list(walk(gym.app(), size)) for size in (1, 2, 4, 5, 6)] == [five(prefix)] * 5


def test_the_last_page_says_that_it_is_the_last(gym: Company) -> None:
    receipts = gym.app().receipts
    told = [(page.has_more, page.next_cursor is None) for page in (receipts.duties(limit=4), receipts.duties(limit=5))]
    assert told == [(True, False), (False, True)]


def test_an_awaited_client_walks_the_same(gym: Company) -> None:
    async def walk() -> None:
        async with AsyncClient(gym.url, key=gym.secret, fingerprint=gym.keys.fingerprint) as app:
            assert [each.receipt async for each in app.receipts.each_duty(limit=2)] == five("rcp")
            assert [each.receipt async for each in app.receipts.each_unacknowledged(limit=2)] == five("rcp")
            assert [each.request async for each in app.desk.each_request(limit=2)] == five("act")
            assert [each.contest async for each in app.decisions.each_contest(limit=2)] == five("cts")
            assert [each.erasure async for each in app.subjects.each_erasure(limit=2)] == five("ers")

    asyncio.run(walk())


@pytest.mark.parametrize(
    "cursor",
    [
        "no cursor",
        to_base64url(b"7"),
        to_base64url(b"7.rcp_a"),  # of another list: that of duties counts
        to_base64url(b"7.1\x00"),
        to_base64url(b"9999999999999999.1"),  # more than the database holds in a number
        to_base64url(b"7.9999999999999999"),
    ],
)
def test_what_is_no_cursor_of_a_list_is_not_found(gym: Company, cursor: str) -> None:
    with pytest.raises(NotFound):
        gym.app().receipts.duties(cursor=cursor)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", f"cursor={'a' * 129}"])
def test_a_page_beyond_its_bound_is_refused(gym: Company, query: str) -> None:
    answer = httpx.get(f"{gym.url}/v1/duties?{query}", headers={"Authorization": f"Bearer {gym.secret}"})
    assert answer.status_code == 422
    assert httpx.get(f"{gym.url}/v1/duties?limit=1000", headers=answer.request.headers).status_code == 200


@pytest.mark.parametrize("name", LISTS)
def test_the_command_lists_all_of_it(
    gym: Company, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, prefix, member = LISTS[name]
    options = ["--url", gym.url, "--key", gym.secret, "--fingerprint", gym.keys.fingerprint]
    monkeypatch.setattr(sys, "argv", ["tally", "list", name, *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert [json.loads(line)[member] for line in capsys.readouterr().out.splitlines()] == five(prefix)
