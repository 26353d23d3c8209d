"""A database that is locked, full or read-only: a typed refusal, nothing half done, and the same key works later."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from databases import ON_POSTGRES
from hostile import HTTP, Scene, app, locked, log_size, nothing_changes, partner, refused
from sqlalchemy import Connection, event, select
from town import evidence, link

from tallystick_node.errors import StorageUnavailable
from tallystick_node.migrations import open_database
from tallystick_node.storage.tables import AUDIT_READS, EVENTS, NONCES

VISIT = {
    "facility": "club-7",
    "started_at": "2027-02-27T09:00:00-05:00",
    "ended_at": "2027-02-27T09:00:00-05:00",
    "time_zone": "America/New_York",
    "source": "turnstile",
    "assurance": "operator",
    "track": [[0, 40_000_000, -74_000_000]] * 2_000,
}
"""With a track of some 60 KB, so that it needs new pages of the database."""

EVENT = {"subject": "ana-at-gym", "type": "visit.ended", "data": VISIT}


@pytest.fixture(scope="module", autouse=True)
def impatient(scene: Scene) -> None:
    """Let nodes wait a tenth of a second for a lock instead of two."""
    for company in (scene.gym, scene.insurer):
        event.listen(company.node.engine, "checkout", _hurry)


def _hurry(connection: Any, _record: object, _proxy: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA busy_timeout=100").close()
    else:
        connection.execute("SET lock_timeout = 100")
        connection.commit()


@contextmanager
def locked_by_another(scene: Scene) -> Iterator[None]:
    with locked(scene.gym.databases.node):
        yield


@contextmanager
def told(scene: Scene, before: str, after: str = "") -> Iterator[None]:
    """Say something to every connection before it is used, and take it back where it lasts longer than that."""

    def say(statement: str) -> Callable[[Connection], None]:
        return lambda connection: connection.exec_driver_sql(statement).close()

    listener = say(before)
    event.listen(scene.gym.node.engine, "begin", listener)
    try:
        yield
    finally:
        event.remove(scene.gym.node.engine, "begin", listener)
        if after:
            with scene.gym.node.engine.connect() as connection:
                say(after)(connection)
            scene.gym.node.engine.dispose()


def full(scene: Scene) -> AbstractContextManager[None]:
    """Leave the database as many pages as it has."""
    return told(scene, "PRAGMA max_page_count=1", "PRAGMA max_page_count=1073741823")


def read_only(scene: Scene) -> AbstractContextManager[None]:
    if ON_POSTGRES:  # as a server is that stands by for another
        return told(scene, "SET TRANSACTION READ ONLY")
    return told(scene, "PRAGMA query_only=ON", "PRAGMA query_only=OFF")


TROUBLES = (
    locked_by_another,
    pytest.param(full, id="full", marks=pytest.mark.sqlite),  # a server's disk is not ours to fill
    read_only,
)
in_every_trouble = pytest.mark.parametrize("trouble", TROUBLES)
Trouble = Callable[[Scene], AbstractContextManager[None]]


@in_every_trouble
def test_an_event_is_refused_whole_and_the_same_key_records_it_once_afterwards(scene: Scene, trouble: Trouble) -> None:
    key = f"event-{trouble.__name__}"
    before = len(scene.gym.node.rows(select(EVENTS.c.id)))
    with nothing_changes(scene.gym), trouble(scene):
        refused(app(scene.gym, "/v1/events", EVENT, once=key), 503, "storage_unavailable")
        refused(app(scene.gym, "/v1/events", EVENT, once=key), 503, "storage_unavailable")
    recorded = app(scene.gym, "/v1/events", EVENT, once=key)
    assert (recorded.status_code, recorded.headers.get("idempotency-replayed")) == (201, None)
    assert len(scene.gym.node.rows(select(EVENTS.c.id))) == before + 1
    again = app(scene.gym, "/v1/events", EVENT, once=key)
    assert again.headers["idempotency-replayed"] == "true"


@in_every_trouble
def test_what_is_only_read_is_still_read(scene: Scene, trouble: Trouble) -> None:
    with trouble(scene):
        assert app(scene.gym, "/v1/programs", method="GET").status_code == 200
        assert app(scene.gym, "/v1/decisions/search", {"subject": "ana-at-gym"}).status_code == 200
        assert HTTP.get(scene.gym.url + "/readyz").status_code == 200
        assert HTTP.get(scene.gym.url + "/log/2027/checkpoint").status_code == 200


@in_every_trouble
def test_all_who_wait_are_refused_and_all_succeed_afterwards(scene: Scene, trouble: Trouble) -> None:
    def record(number: int) -> Any:
        return app(scene.gym, "/v1/events", EVENT, once=f"{trouble.__name__}-{number}")

    size = log_size(scene.gym)
    with nothing_changes(scene.gym), trouble(scene), ThreadPoolExecutor(5) as callers:
        for answer in callers.map(record, range(5)):
            refused(answer, 503, "storage_unavailable")
    with ThreadPoolExecutor(5) as callers:
        assert {answer.status_code for answer in callers.map(record, range(5))} == {201}
    assert log_size(scene.gym) == size + 5


@pytest.mark.parametrize("trouble", [locked_by_another, read_only])
def test_a_partner_is_told_to_come_back_and_its_message_is_applied_once(scene: Scene, trouble: Trouble) -> None:
    """Its nonce is not kept either: nothing was. (A question is small: a full database may have room for it.)"""
    body, once = {"link": f"lnk_{'b' * 26}", "program": "x", "version": 1, "period": "2027-03"}, trouble.__name__
    nonces = scene.gym.node.rows(select(NONCES))
    with nothing_changes(scene.gym), trouble(scene):
        answer = partner(scene.insurer, scene.gym, "/peer/v1/asks", body, once=once)
        refused(answer, 503, "storage_unavailable")
    assert "signature" in answer.headers
    assert scene.gym.node.rows(select(NONCES)) == nonces
    assert partner(scene.insurer, scene.gym, "/peer/v1/asks", body, once=once).status_code == 202


def test_a_receipt_given_while_the_insurer_is_locked_arrives_later_and_once(scene: Scene) -> None:
    person = link(scene.gym, scene.insurer, at_gym="ben-at-gym", at_insurer="ben-at-ins", town=scene.story)
    asked = scene.insurer.app().receipts.request(person.link).receipt
    scene.story.settle()
    scene.gym.app().receipts.give(asked, subject="ben-at-gym", evidence=evidence())
    with locked(scene.insurer.databases.node):
        scene.gym.work()
    assert scene.insurer.app().receipts.get(asked).state == "requested"
    scene.story.clock.at_s += 60
    scene.story.settle()
    assert scene.insurer.app().receipts.get(asked).state == "given"
    assert scene.gym.app().receipts.get(asked).acknowledged_at == scene.story.clock.at_s


def test_an_answer_that_could_not_be_written_down_is_asked_for_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gym's database is locked just when the insurer's signature arrives, and the gym is not restarted."""
    person = link(scene.gym, scene.insurer, at_gym="ben-late-at-gym", at_insurer="ben-late-at-ins", town=scene.story)
    asked = scene.insurer.app().receipts.request(person.link).receipt
    scene.story.settle()
    scene.gym.app().receipts.give(asked, subject="ben-late-at-gym", evidence=evidence())
    carry = scene.gym.recorder.handle_async_request
    with ExitStack() as held:

        async def carry_then_lock(request: httpx.Request) -> httpx.Response:
            response = await carry(request)
            held.enter_context(locked(scene.gym.databases.node))
            return response

        monkeypatch.setattr(scene.gym.recorder, "handle_async_request", carry_then_lock)
        with pytest.raises(StorageUnavailable):
            scene.gym.work()
        monkeypatch.undo()
    assert scene.insurer.app().receipts.get(asked).state == "given"
    assert scene.gym.app().receipts.get(asked).acknowledged_at is None
    with nothing_changes(scene.insurer):
        scene.gym.work()
    assert scene.gym.app().receipts.get(asked).acknowledged_at == scene.story.clock.at_s


def test_a_link_that_the_insurer_could_not_store_is_made_when_it_is_asked_for_again(scene: Scene) -> None:
    offer = scene.insurer.app().links.offer(
        subject="cleo-at-ins", partner="gym.example", program="ins-fit", hint="policy ending 21", login="aal2"
    )
    body = {"subject": "cleo-at-gym", "offer": offer.offer, "hint": "member since 2020", "login": "aal2"}
    with nothing_changes(scene.insurer), locked(scene.insurer.databases.node):
        refused(app(scene.gym, "/v1/links/accept", body, once="cleo"), 503, "peer_unavailable")
    assert app(scene.gym, "/v1/links/accept", body, once="cleo").status_code == 201
    assert len(scene.gym.app().links.find("cleo-at-gym").links) == 1


def test_an_auditor_reads_nothing_that_cannot_be_recorded(scene: Scene) -> None:
    auditor = scene.gym.key("audit:read")
    path = max(scene.gym.log.glob("tile/entries/000.p/*")).relative_to(scene.gym.log)
    with nothing_changes(scene.gym), locked(scene.gym.databases.node):
        answer = app(scene.gym, f"/log/2027/{path}", method="GET", key=auditor)
        refused(answer, 503, "storage_unavailable")
    assert all(row.path != f"2027/{path}" for row in scene.gym.node.rows(select(AUDIT_READS)))


def test_custody_that_is_locked_is_storage_like_any_other(scene: Scene) -> None:
    """A link needs a secret, and the secret a place: neither is there without the other."""
    offer = scene.insurer.app().links.offer(
        subject="dov-at-ins", partner="gym.example", program="ins-fit", hint="policy ending 21", login="aal2"
    )
    body = {"subject": "dov-at-gym", "offer": offer.offer, "hint": "member since 2020", "login": "aal2"}
    event.listen(scene.gym.node.custody.engine, "checkout", _hurry)
    with nothing_changes(scene.gym, scene.insurer), locked(scene.gym.databases.custody):
        refused(app(scene.gym, "/v1/links/accept", body, once="dov"), 503, "storage_unavailable")
    assert app(scene.gym, "/v1/links/accept", body, once="dov").status_code == 201


def test_a_database_that_is_none_is_not_opened(scene: Scene) -> None:
    path = scene.story.folder / "none.db"
    path.write_bytes(b"this is a letter, and no database at all" * 100)
    with pytest.raises(StorageUnavailable):
        open_database(path)
    with pytest.raises(StorageUnavailable):
        open_database(scene.story.folder / "no" / "where" / "node.db")


@pytest.mark.sqlite
def test_the_files_are_the_owners_alone(scene: Scene) -> None:
    for path in (scene.gym.folder / "node.db", scene.gym.folder / "custody" / "keys.db"):
        assert path.stat().st_mode & 0o077 == 0
        with sqlite3.connect(path) as opened:
            assert opened.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        opened.close()
