"""Several processes of one node on one PostgreSQL: one log without a fork, each thing done once, whoever does it."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from databases import Server, free_port
from hostile import app, deliver, log_size, raw_of, refused, signed_headers
from sqlalchemy import select
from town import Company, Membership, Town, agree, consent, evidence, link, town

from tallystick import Client
from tallystick.audit import DirectorySource, audit
from tallystick_node.clock import SetClock
from tallystick_node.config import CLOCK_VARIABLE
from tallystick_node.errors import StorageUnavailable
from tallystick_node.keys.custody import Custody
from tallystick_node.migrations import Schema, open_database
from tallystick_node.node import PUBLISHING
from tallystick_node.storage.tables import EVENTS, MESSAGES
from tallystick_node.storage.turns import Turns

APPS = 4
EACH = 8
STARTED_WITHIN_S = 20
WITHIN_S = 20
ASK = {"link": f"lnk_{'b' * 26}", "program": "x", "version": 1, "period": "2027-03"}


@pytest.fixture(scope="module")
def story(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A gym and an insurer that have agreed, on PostgreSQL."""
    assert postgres
    with town(tmp_path_factory.mktemp("town"), on_postgres=True) as made:
        gym, insurer = made.company("gym.example"), made.company("insurer.example")
        agree(made, insurer, gym)
        yield made


@pytest.fixture(scope="module")
def ana(story: Town) -> Membership:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    return consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)


@pytest.fixture
def gyms(ana: Membership) -> Iterator[list[Company]]:
    """Two nodes of the gym at once."""
    with ExitStack() as opened:
        other = ana.gym.replica()
        opened.callback(other.stop)
        yield [ana.gym, other]


def visit(number: int) -> dict[str, Any]:
    data = {
        "facility": f"club-{number}",
        "started_at": "2027-02-27T09:00:00-05:00",
        "ended_at": "2027-02-27T09:00:00-05:00",
        "time_zone": "America/New_York",
        "source": "turnstile",
        "assurance": "operator",
    }
    return {"subject": "ana-at-gym", "type": "visit.ended", "data": data}


def test_writes_interleave_in_one_log_that_verifies(gyms: list[Company]) -> None:
    size = log_size(gyms[0])

    def record(number: int) -> list[int]:
        answers = [app(gyms[number % 2], "/v1/events", visit(number)) for _ in range(EACH)]
        assert {answer.status_code for answer in answers} == {201}, answers[0].text
        return [answer.json()["proofs"][0]["index"] for answer in answers]

    with ThreadPoolExecutor(APPS) as apps:
        indexes = [index for each in apps.map(record, range(APPS)) for index in each]
    assert sorted(indexes) == list(range(size, size + APPS * EACH))
    for gym in gyms:
        gym.work()
    assert all(gym.node.publisher.published_size >= size + APPS * EACH for gym in gyms)
    assert audit([DirectorySource(str(gyms[0].log))]).findings == ()


def test_one_key_at_both_at_once_is_one_event(gyms: list[Company]) -> None:
    before = len(gyms[0].node.rows(select(EVENTS.c.id)))
    for number in range(EACH):
        with ThreadPoolExecutor(2) as apps:
            answers = list(apps.map(lambda gym: app(gym, "/v1/events", visit(number), once=f"both-{number}"), gyms))  # noqa: B023
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json() == answers[1].json()
    assert len(gyms[1].node.rows(select(EVENTS.c.id))) == before + EACH


def test_a_signed_request_that_one_has_seen_is_refused_by_the_other(story: Town, gyms: list[Company]) -> None:
    insurer = story.companies["insurer.example"]
    headers = signed_headers(insurer, gyms[0], "/peer/v1/asks", raw_of(ASK))
    assert deliver(gyms[0], "/peer/v1/asks", raw_of(ASK), headers).status_code == 202
    behind = {name: value for name, value in headers.items() if name.lower() != "host"}
    # A proxy stands before both; each takes a request for the address that partners know.
    refused(deliver(gyms[1], "/peer/v1/asks", raw_of(ASK), behind), 409, "replay_detected")


def begin_receipt(story: Town, gym: Company, name: str) -> str:
    """Somebody says yes at the gym; what it tells the insurer waits in the outbox."""
    insurer = story.companies["insurer.example"]
    person = link(gym, insurer, at_gym=f"{name}-at-gym", at_insurer=f"{name}-at-ins", town=story)
    asked = insurer.app().receipts.request(person.link).receipt
    story.settle()
    gym.app().receipts.give(asked, subject=f"{name}-at-gym", evidence=evidence())
    return asked


def sent(gyms: list[Company]) -> list[str]:
    return [exchange.path for gym in gyms for exchange in gym.recorder.exchanges if "receipts/given" in exchange.path]


def test_a_message_is_sent_by_one_of_them(story: Town, gyms: list[Company], monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one works while the first is waiting for the partner's answer."""
    before = len(sent(gyms))
    asked = begin_receipt(story, gyms[0], "ben")
    carry = gyms[0].recorder.handle_async_request

    async def carry_slowly(request: httpx.Request) -> httpx.Response:
        await asyncio.to_thread(gyms[1].work)
        return await carry(request)

    monkeypatch.setattr(gyms[0].recorder, "handle_async_request", carry_slowly)
    gyms[0].work()
    assert len(sent(gyms)) == before + 1
    assert gyms[1].app().receipts.get(asked).state == "given"


def test_what_a_dead_one_was_sending_the_other_sends_again_and_it_counts_once(
    story: Town, gyms: list[Company], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one's session is lost while it waits for the answer; its own answer comes too late to count again."""
    before = len(sent(gyms))
    asked = begin_receipt(story, gyms[0], "cleo")
    asyncio.run_coroutine_threadsafe(gyms[0].jobs.publish(), gyms[0]._loop).result(WITHIN_S)
    told = audit([DirectorySource(str(gyms[0].log))]).sources[0].entries["receipt"]
    carry = gyms[0].recorder.handle_async_request

    async def die_meanwhile(request: httpx.Request) -> httpx.Response:
        response = await carry(request)
        gyms[0].node.turns.close()
        await asyncio.to_thread(gyms[1].work)
        return response

    monkeypatch.setattr(gyms[0].recorder, "handle_async_request", die_meanwhile)
    gyms[0].work()
    assert len(sent(gyms)) == before + 2
    assert {row.state for row in gyms[0].node.rows(select(MESSAGES.c.state).where(MESSAGES.c.about == asked))} == {
        "delivered"
    }
    gyms[0].work()
    entries = audit([DirectorySource(str(gyms[0].log))]).sources[0].entries
    assert entries["receipt"] == told + 1, "one acknowledgement, however often it came"


def test_what_one_publishes_the_other_serves_and_proves(gyms: list[Company]) -> None:
    recorded = app(gyms[1], "/v1/events", visit(1)).json()["proofs"][0]["index"]
    gyms[0].work()
    taken = gyms[0].node.turns.take(PUBLISHING)
    assert taken is not None
    with taken:  # the other cannot publish now, and takes up what is there
        assert gyms[1].node.publisher.published_size <= recorded
        gyms[1].work()
    assert gyms[1].node.publisher.published == gyms[0].node.publisher.published
    shown = [gym.node.proofs.inclusions([recorded], with_entries=True) for gym in gyms]
    assert shown[0] == shown[1]


def test_a_publisher_that_lost_its_turn_replaces_no_head(gyms: list[Company], postgres: Server) -> None:
    gyms[0].work()
    head = gyms[0].node.publisher.checkpoint()
    app(gyms[0], "/v1/events", visit(2))
    turn = gyms[0].node.turns.take(PUBLISHING)
    assert turn is not None
    postgres.run("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    with pytest.raises(StorageUnavailable):
        gyms[0].node.publisher.publish(still_mine=turn.require)
    turn.give_back()
    assert gyms[0].node.publisher.checkpoint() == head
    gyms[0].work()
    assert gyms[0].node.publisher.checkpoint() != head


# Turns


def test_a_turn_is_one_s_until_it_is_given_back_or_its_session_ends(postgres: Server) -> None:
    engines = [open_database(url) for url in [postgres.fresh(Schema.NODE)] * 2]
    ours, theirs = (Turns(engine) for engine in engines)
    with_us = ours.take("a")
    assert with_us is not None
    assert (theirs.take("a"), ours.take("a")) == (None, None)
    with_them = theirs.take("b")
    assert with_them is not None
    with_us.require()
    with_us.give_back()
    again = theirs.take("a")
    assert again is not None
    theirs.close()
    for lost in (again, with_them):
        with pytest.raises(StorageUnavailable):
            lost.require()
        lost.give_back()
    for work in ("a", "b"):
        assert ours.take(work) is not None
    ours.close()
    for engine in engines:
        engine.dispose()


def test_a_turn_that_is_lost_with_its_session_is_not_given_back_for_whoever_has_it_now(postgres: Server) -> None:
    engine = open_database(postgres.fresh(Schema.NODE))
    turns = Turns(engine)
    lost = turns.take("a")
    assert lost is not None
    turns.close()
    had = turns.take("a")
    assert had is not None
    lost.give_back()
    assert turns.take("a") is None
    had.require()
    turns.close()
    engine.dispose()


def test_a_session_that_was_idle_for_too_long_is_replaced_where_it_held_nothing(postgres: Server) -> None:
    url = postgres.fresh(Schema.NODE)
    engine = open_database(url)
    turns = Turns(engine)
    for holds in (False, True):
        turn = turns.take("a")
        assert turn is not None
        if not holds:
            turn.give_back()
        name = url.rpartition("/")[2]
        postgres.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608
        if holds:
            with pytest.raises(StorageUnavailable):
                turns.take("b")
        else:
            assert turns.take("b") is not None
            turns.close()
    turns.close()
    engine.dispose()


# Keys


def test_a_secret_that_several_make_at_once_is_one_and_one_that_is_gone_stays_gone(
    postgres: Server, tmp_path: Path
) -> None:
    url, clock = postgres.fresh(Schema.CUSTODY), SetClock(1_800_000_000)

    def opened(number: int) -> Custody:
        return Custody(tmp_path, clock=clock, random_bytes=lambda size: bytes([number]) * size, database=url)

    several = [opened(number) for number in range(APPS)]
    start = threading.Barrier(APPS)

    def make(custody: Custody) -> list[bytes]:
        start.wait()
        return [custody.find_or_make(f"link/{number}") for number in range(EACH)]

    with ThreadPoolExecutor(APPS) as makers:
        made = list(makers.map(make, several))
    assert all(each == made[0] for each in made)
    clock.at_s += 86_400

    def wrap_or_destroy(number: int) -> None:
        start.wait()
        if number == 0:
            for name in range(EACH):
                several[0].destroy(f"link/{name}")
        else:
            several[number].rewrap()

    with ThreadPoolExecutor(APPS) as workers:
        list(workers.map(wrap_or_destroy, range(APPS)))
    assert [several[1].find(f"link/{number}") for number in range(EACH)] == [None] * EACH
    assert len(list(tmp_path.glob("wrap-*.key"))) == 1 or several[1].find_or_make("new")
    for each in several:
        each.close()


# Processes


@pytest.mark.long
def test_two_processes_of_one_node_serve_its_apps(story: Town, ana: Membership) -> None:
    gym = ana.gym
    gym.stop()
    clock = gym.folder / "clock"
    clock.write_text(str(story.clock.at_s))
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    command = [sys.executable, "-m", "tallystick_node.cli", "serve", str(gym.folder), "--bind"]
    processes = [
        subprocess.Popen([*command, address], env={CLOCK_VARIABLE: str(clock)}, stderr=subprocess.PIPE)
        for address in addresses
    ]
    try:
        for address in addresses:
            wait_until_ready(f"http://{address}")
        clients = [Client(f"http://{each}", key=gym.secret, fingerprint=gym.keys.fingerprint) for each in addresses]
        body = visit(3)
        recorded = [
            client.events.record(subject=body["subject"], type=body["type"], data=body["data"], idempotency_key=key)
            for key in ("first", "second")
            for client in clients
        ]
        assert [each.event for each in recorded[::2]] == [each.event for each in recorded[1::2]]
        processes[0].kill()
        third = clients[1].events.record(subject=body["subject"], type=body["type"], data=body["data"])
        published = wait_for_head(f"http://{addresses[1]}", third.proofs[0].index + 1)
        assert published == third.proofs[0].index + 1
        for client in clients:
            client.close()
    finally:
        for process in processes:
            process.terminate()
            _, errors = process.communicate(timeout=STARTED_WITHIN_S)
            print(errors.decode())  # shown where the test fails
            assert b"Traceback" not in errors
    assert audit([DirectorySource(str(gym.log))]).findings == ()
    gym.start()


def wait_until_ready(url: str) -> None:
    until = time.monotonic() + STARTED_WITHIN_S
    while True:
        try:
            if httpx.get(url + "/readyz").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < until, f"{url} does not start"
        time.sleep(0.05)


def wait_for_head(url: str, size: int) -> int:
    """Return the size of the published head once it has reached one; another process was killed while it published."""
    until = time.monotonic() + STARTED_WITHIN_S
    while True:
        published = int(httpx.get(url + "/log/2027/checkpoint").text.splitlines()[1])
        if published >= size:
            return published
        assert time.monotonic() < until, "nothing is published"
        time.sleep(0.05)
