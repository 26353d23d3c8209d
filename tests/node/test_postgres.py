"""A PostgreSQL that is away, locked, silent, or gone in the middle of a write: refused in time, and found again."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from databases import Server
from hostile import locked
from sqlalchemy import insert, select, text

from tallystick_node.clock import SetClock
from tallystick_node.config import CUSTODY_VARIABLE, DATABASE_VARIABLE, Settings, databases_of
from tallystick_node.errors import SettingsInvalid, StorageUnavailable
from tallystick_node.log.transaction import COPIED_FROM, Transaction
from tallystick_node.migrations import Schema, open_database
from tallystick_node.node import Node
from tallystick_node.setup import create_node, open_node
from tallystick_node.storage import postgres as bounds
from tallystick_node.storage.database import close, connect, single_statements, storage_errors, writing
from tallystick_node.storage.tables import HEADS, MESSAGES

WITHIN_S = 20
SILENT_S = 0.5
NO_PASSWORD = {"host": "gym.example", "url": "http://x", "bind": "127.0.0.1:1", "sandbox": True, "log_year": 2027}


class Relay:
    """Stands between a node and its PostgreSQL, and can go away or fall silent."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.passes = threading.Event()
        self.passes.set()
        port = self._listener.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}"))
        self._accepts = True
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection that there is; new ones are let through."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def refuse(self, *, yes: bool) -> None:
        """Let nobody in, or everybody again."""
        self._accepts = not yes
        if yes:
            self.cut()

    def close(self) -> None:
        self.refuse(yes=True)
        self.passes.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._accepts:
                near.close()
                continue
            far = socket.create_connection(self._to)
            self._open += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while received := one.recv(65_536):
                self.passes.wait()
                other.sendall(received)
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def relay(postgres: Server) -> Iterator[Relay]:
    made = Relay(postgres.fresh(Schema.NODE))
    yield made
    made.close()


@pytest.fixture
def node(relay: Relay, postgres: Server, tmp_path: Path) -> Iterator[Node]:
    """A node whose rows are behind the relay; its keys are not."""
    create_node(
        tmp_path / "gym",
        host="gym.example",
        url="http://127.0.0.1:1",
        bind="127.0.0.1:1",
        sandbox=True,
        clock=SetClock(1_803_736_800),
        database=relay.url,
        custody_database=postgres.fresh(Schema.CUSTODY),
    )
    made = open_node(tmp_path / "gym", clock=SetClock(1_803_736_800))
    yield made
    made.close()


def append(node: Node) -> int:
    """Append one entry; return its index."""

    def work(transaction: Transaction) -> int:
        return transaction.append("program", {"about": "nothing"}).index

    return node.writer.submit(work).result(WITHIN_S).value


def append_again(node: Node) -> int:
    """Append one entry, by the second try at the latest: the first may find a connection that is gone."""
    try:
        return append(node)
    except StorageUnavailable:
        return append(node)


def test_a_server_that_was_away_is_found_again_and_the_log_goes_on(node: Node, relay: Relay) -> None:
    assert append(node) == 0
    relay.refuse(yes=True)
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            append(node)
        with pytest.raises(StorageUnavailable):
            node.rows(select(HEADS.c.size))
    relay.refuse(yes=False)
    assert append_again(node) == 1
    assert [row.size for row in node.rows(select(HEADS.c.size))] == [2]
    node.publisher.publish()
    assert node.publisher.published_size == 2


def test_a_connection_that_ends_in_the_middle_of_a_write_leaves_nothing_of_it(node: Node, relay: Relay) -> None:
    assert append(node) == 0

    def work(transaction: Transaction) -> None:
        transaction.append("program", {"about": "nothing"})
        relay.cut()

    with pytest.raises(StorageUnavailable):
        node.writer.submit(work).result(WITHIN_S)
    assert append_again(node) == 1


_QUEUE = insert(MESSAGES)
ODD_TEXTS = ("", "\\N", "\\.", "a\tb", "two\r\nlines", "back\\slash", '"quoted", too', "{n}", "Zoë 走る", None)


def queue(transaction: Transaction, bodies: list[str | None]) -> None:
    """Queue messages with these bodies, collected so that they are put in together."""
    for number, body in enumerate(bodies):
        named = {"partner": "insurer.example", "path": "/", "kind": "claim.issued", "about": "x", "receipt": None}
        times = {"not_before_s": 2**40 + number, "attempts": 0, "next_attempt_s": 0}
        rest = {"state": "queued", "maybe_arrived": number % 2 == 1}
        transaction.collect(_QUEUE, id=f"msg_{number:03}", body=body, **named, **times, **rest)


def test_rows_that_are_put_in_together_hold_what_was_said_whatever_that_is(node: Node) -> None:
    bodies = [*ODD_TEXTS] * COPIED_FROM
    node.writer.submit(lambda transaction: queue(transaction, bodies)).result(WITHIN_S)
    shown = (MESSAGES.c.body, MESSAGES.c.not_before_s, MESSAGES.c.maybe_arrived, MESSAGES.c.receipt)
    rows = node.rows(select(*shown).order_by(MESSAGES.c.id))
    assert [tuple(row) for row in rows] == [
        (body, 2**40 + number, number % 2 == 1, None) for number, body in enumerate(bodies)
    ]


def test_of_rows_that_are_put_in_together_none_is_there_where_one_is_there_already(node: Node) -> None:
    node.writer.submit(lambda transaction: queue(transaction, ["first"])).result(WITHIN_S)
    with pytest.raises(psycopg.errors.UniqueViolation):
        node.writer.submit(lambda transaction: queue(transaction, ["again"] * COPIED_FROM)).result(WITHIN_S)
    assert [row.body for row in node.rows(select(MESSAGES.c.body))] == ["first"]
    assert append(node) == 0


def test_reads_find_no_trace_of_a_server_that_was_away_between_them(node: Node, relay: Relay) -> None:
    append(node)
    relay.cut()
    assert len(node.rows(select(HEADS.c.size))) == 1


def test_a_server_that_says_nothing_any_more_is_given_up_in_a_bounded_time(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes what is sent and its machine is up, so neither refusal nor keepalive ends the wait."""
    monkeypatch.setattr(bounds.BoundedConnection, "wait_max_s", SILENT_S)
    engine = open_database(relay.url)
    relay.passes.clear()
    began = time.monotonic()
    with pytest.raises(StorageUnavailable), storage_errors(), single_statements(engine).connect() as connection:
        connection.execute(text("SELECT 1"))
    assert time.monotonic() - began < WITHIN_S
    relay.passes.set()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    engine.dispose()


def test_a_write_that_waits_for_another_is_refused_in_a_bounded_time(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.fresh(Schema.NODE)
    monkeypatch.setitem(bounds._SERVER_SETTINGS, "lock_timeout", "100ms")
    engine = connect(url)
    with locked(url), pytest.raises(StorageUnavailable), storage_errors(), writing(engine).begin():
        pass
    engine.dispose()


def test_a_commit_is_on_disk_whatever_the_server_s_default_is(postgres: Server) -> None:
    url = postgres.fresh(None)
    name = url.rpartition("/")[2]
    postgres.run(f"ALTER DATABASE {name} SET synchronous_commit = off")
    engine = connect(url)
    with engine.connect() as connection:
        names = ("synchronous_commit", "lock_timeout")
        told = {each: connection.execute(text(f"SHOW {each}")).scalar() for each in names}
    assert told == {"synchronous_commit": "on", "lock_timeout": f"{bounds.LOCK_TIMEOUT_S}s"}
    engine.dispose()


# Where it is


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://gym:hush@db/gym",
        "postgresql://db/gym?user=gym&password=hush",
        "mysql://db/gym",
        "postgresql://db/with a space",
        "/etc/passwd",
    ],
)
def test_an_address_with_a_password_or_of_another_form_is_no_setting(address: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Settings(**NO_PASSWORD, database=address)  # type: ignore[arg-type]


def test_the_environment_goes_before_the_settings_and_what_it_says_is_shown_nowhere(tmp_path: Path) -> None:
    settings = Settings(**NO_PASSWORD)  # type: ignore[arg-type]
    assert databases_of(settings, tmp_path, {}).node == tmp_path / "node.db"
    assert not databases_of(settings, tmp_path, {}).are_shared
    said = {DATABASE_VARIABLE: "postgresql://gym:hush@db/gym", CUSTODY_VARIABLE: "postgresql://gym:hush@db/keys"}
    found = databases_of(settings, tmp_path, said)
    assert (found.node, found.custody) == (said[DATABASE_VARIABLE], said[CUSTODY_VARIABLE])
    assert found.are_shared
    assert "hush" not in repr(found)


@pytest.mark.parametrize("url", ["postgresql://gym:hush@127.0.0.1:1/gym", "postgresql://gym:hush@[::1/gym"])
def test_no_error_quotes_a_password(url: str) -> None:
    with pytest.raises((StorageUnavailable, SettingsInvalid)) as refused:
        open_database(url)
    error: BaseException | None = refused.value
    while error is not None:
        assert "hush" not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_an_account_without_the_right_is_a_mistake_of_ours_and_not_trouble(postgres: Server) -> None:
    url = postgres.fresh(Schema.NODE)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS tally_nobody")
        connection.execute("CREATE ROLE tally_nobody LOGIN")
    parts = urlsplit(url)
    engine = connect(urlunsplit(parts._replace(netloc=parts.netloc.replace(parts.username or "", "tally_nobody"))))
    with pytest.raises(Exception, match="permission denied"), storage_errors(), engine.connect() as connected:
        connected.execute(select(HEADS))
    engine.dispose()
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP ROLE tally_nobody")


def test_a_connection_that_comes_back_after_the_end_is_closed(postgres: Server) -> None:
    """A thread of a node was still at work when the node ended; nobody looks after its pool any more."""
    engine = connect(postgres.fresh(Schema.NODE))
    late = engine.connect()
    session = late.connection.dbapi_connection
    assert isinstance(session, psycopg.Connection)
    close(engine)
    assert late.execute(text("SELECT 1")).scalar() == 1
    late.close()
    assert session.closed
