"""Databases of every version become those of this one, and go on; what stands in them is what the models say."""

import asyncio
import json
from base64 import b64decode, urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from databases import Server
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from town import NEW_YORK
from typer.testing import CliRunner

from tallystick import wire
from tallystick.audit import DirectorySource, audit
from tallystick.journeys import visit
from tallystick_ledger.encoding import from_base64url
from tallystick_node import cli
from tallystick_node.clock import SetClock
from tallystick_node.errors import SettingsInvalid, StorageUnavailable
from tallystick_node.flows.events import get_event, record_event
from tallystick_node.log.replies import Once
from tallystick_node.migrations import (
    VERSION_TABLE,
    Schema,
    alembic_config,
    latest,
    migrate,
    open_database,
    revision_of,
)
from tallystick_node.node import Node
from tallystick_node.setup import open_node
from tallystick_node.storage.database import Place, connect, writing
from tallystick_node.storage.tables import EVENTS

FIRST_LANDED = Path(__file__).parent / "first_landed"
"""A gym's folder as the first version left it: one customer, one consent, one visit, eight entries, all published."""

CLOSED_AT_S = 1_803_956_400
BOTH = ("sqlite", "postgresql")


@pytest.fixture(params=BOTH)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return tmp_path / "node.db"
    server: Server = request.getfixturevalue("postgres")
    return server.fresh(None)


@pytest.fixture
def first_landed(tmp_path: Path) -> Path:
    """The folder of the first version, on disk again."""
    folder = tmp_path / "gym"
    for name, content in json.loads((FIRST_LANDED / "files.json").read_text(encoding="utf-8")).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else b64decode(content["base64"]))
        path.chmod(0o600)
    for name, dump in (("node.db", "node.sql"), ("custody/keys.db", "keys.sql")):
        engine = connect(folder / name)
        raw = engine.raw_connection()
        raw.driver_connection.executescript((FIRST_LANDED / dump).read_text(encoding="utf-8"))  # type: ignore[union-attr]
        raw.close()
        engine.dispose()
    return folder


@pytest.mark.parametrize("schema", Schema)
def test_the_revisions_lead_to_what_the_models_say(place: Place, schema: Schema) -> None:
    engine = open_database(place, schema)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


@pytest.mark.parametrize("schema", Schema)
def test_the_first_revision_makes_what_the_first_version_made(tmp_path: Path, schema: Schema) -> None:
    """Name by name and type by type, as SQLite tells it; the order of columns with it."""
    theirs = sa.create_engine("sqlite://")
    dump = {Schema.NODE: "node.sql", Schema.CUSTODY: "keys.sql"}[schema]
    raw = theirs.raw_connection()
    raw.driver_connection.executescript((FIRST_LANDED / dump).read_text(encoding="utf-8"))  # type: ignore[union-attr]
    ours = connect(tmp_path / "ours.db")
    with writing(ours).begin() as connection:
        command.upgrade(alembic_config(schema, connection), schema.first)
    assert described(ours) == described(theirs)
    for engine in (ours, theirs):
        engine.dispose()


def described(engine: sa.Engine) -> dict[str, Any]:
    """Return every table's columns, in order, and its keys and indexes."""
    with engine.connect() as connection:

        def told(about: str, table: str) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in connection.exec_driver_sql(f"PRAGMA {about}({table})")]

        tables = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
        return {
            table: (told("table_xinfo", table), sorted(row[1:] for row in told("index_list", table)))
            for table in tables
            if table != VERSION_TABLE
        }


def test_a_folder_of_the_first_version_is_upgraded_when_it_is_opened_and_its_log_goes_on(first_landed: Path) -> None:
    node = open_node(first_landed, clock=SetClock(CLOSED_AT_S + 60))
    assert node.publisher.published_size == 8
    record_again(node)
    node.publisher.publish()
    assert node.publisher.published_size == 9
    node.close()
    report = audit([DirectorySource(str(first_landed / "log"))])
    assert report.findings == ()
    assert (report.sources[0].size, report.sources[0].entries["event"]) == (9, 2)
    for schema, name in ((Schema.NODE, "node.db"), (Schema.CUSTODY, "custody/keys.db")):
        engine = connect(first_landed / name)
        assert revision_of(engine) == latest(schema)
        engine.dispose()


def record_again(node: Node) -> None:
    """Record another visit of the customer whose key the first version made, and open both."""
    began, ended = (datetime.fromisoformat(f"2027-03-01 {hour}").replace(tzinfo=NEW_YORK) for hour in ("20", "21"))
    kind, data = visit(facility="club-8", started_at=began, ended_at=ended, time_zone="America/New_York")
    body = wire.RecordEvent(subject="ana-at-gym", type=kind, data=data)
    assert asyncio.run(record_event(node, Once("app:test", "again", "as the first time"), body)).status == 201
    payloads = [from_base64url(get_event(node, row.id).opening.payload) for row in node.rows(EVENTS.select())]
    assert [b"club-7" in payload for payload in payloads] == [True, False]
    assert [b"club-8" in payload for payload in payloads] == [False, True]


def test_a_link_that_is_open_at_the_upgrade_learns_that_one_before_it_told_something(place: Place) -> None:
    """P7: what ended before the node remembered up to when a link answered is not told, and paid, a second time."""
    told, silent, other = (1, "ended", "issued"), (2, "ended", "withheld"), (3, "ended", "issued")
    engine = connect(place)
    with writing(engine).begin() as connection:
        command.upgrade(alembic_config(Schema.NODE, connection), "node_0021")
        for (ended_s, state, claim), program in ((told, "fit"), (silent, "fit"), (other, "gold")):
            ids = {"link": f"lnk-{ended_s}", "receipt": f"rcp-{ended_s}"}
            the = {"role": "issuer", "subject": "ana", "program": program, "ended_at_s": ended_s}
            insert_as_was(connection, "link", id=ids["link"], state=state, **the)
            insert_as_was(connection, "receipt", id=ids["receipt"], link=ids["link"])
            insert_as_was(
                connection, "claim", **ids, number=ended_s, digest=program + claim, state=claim, role="issuer"
            )
        for subject in ("ana", "ben"):
            insert_as_was(connection, "link", id=subject, role="issuer", subject=subject, program="fit", state="active")
    engine.dispose()

    engine = open_database(place)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT id, answered_until_s FROM link ORDER BY id").all()
    assert [tuple(row) for row in rows] == [("ana", 1), ("ben", 0), ("lnk-1", 0), ("lnk-2", 0), ("lnk-3", 0)]
    engine.dispose()


def test_what_is_held_at_the_upgrade_is_owed_and_what_was_signed_says_when(place: Place) -> None:
    """More than the thousand rows that are read at once."""
    count = 1_001
    names = [f"{number:04}" for number in range(count)]
    tokens = [urlsafe_b64encode(json.dumps({"at": 100 + number}).encode()).decode() for number in range(count)]
    engine = connect(place)
    with writing(engine).begin() as connection:
        command.upgrade(alembic_config(Schema.NODE, connection), "node_0016")
        insert_as_was(connection, "receipt", id="rcp", terms='{"retention_s": 10}')
        held = [{"number": at, "digest": each, "id": each, "logged_at_s": at} for at, each in enumerate(names)]
        insert_as_was(connection, "claim", *held, receipt="rcp", role="recipient", token="held")
        signed = [{"signed": each, "token": f"e30.{said}.c2ln"} for each, said in zip(names, tokens, strict=True)]
        insert_as_was(connection, "signedfor", *signed)
    engine.dispose()

    engine = open_database(place)
    with engine.connect() as connection:
        owed = connection.exec_driver_sql("SELECT claim, due_s FROM duty ORDER BY claim").all()
        said = connection.exec_driver_sql("SELECT signed, at_s FROM signedfor ORDER BY signed").all()
    assert [tuple(row) for row in owed] == [(each, 10 + at) for at, each in enumerate(names)]
    assert [tuple(row) for row in said] == [(each, 100 + at) for at, each in enumerate(names)]
    engine.dispose()


def insert_as_was(connection: sa.Connection, table: str, *rows: dict[str, object], **values: object) -> None:
    """Insert rows into a table as it is by now, one where none is said; what must be there and is not said is empty."""
    columns = sa.Table(table, sa.MetaData(), autoload_with=connection)
    needed = [each for each in columns.columns if not each.nullable and each.server_default is None]
    empty = {each.name: "" if isinstance(each.type, sa.String) else 0 for each in needed}
    connection.execute(columns.insert(), [{**empty, **values, **row} for row in rows or ({},)])


def test_what_is_open_at_the_upgrade_is_due_a_month_after_it_was_asked_for(place: Place) -> None:
    asked_at_s = int(datetime(2027, 1, 31, 15, tzinfo=UTC).timestamp())
    due_s = int(datetime(2027, 2, 28, 15, tzinfo=UTC).timestamp())
    engine = connect(place)
    with writing(engine).begin() as connection:
        command.upgrade(alembic_config(Schema.NODE, connection), "node_0025")
        for number, state in enumerate(("open", "done"), 1):
            bytes_of = {"commitment": b"", "ciphertext": b""}
            insert_as_was(
                connection, "act", number=number, id=f"act_{number}", state=state, at_s=asked_at_s, **bytes_of
            )
        insert_as_was(connection, "contest", id="cts_1", decision=1, contested_at_s=asked_at_s)
    engine.dispose()
    migrate(place, Schema.NODE)
    engine = connect(place)
    with engine.connect() as connection:
        acts = connection.exec_driver_sql("SELECT answer_by_s, delayed FROM act ORDER BY number").all()
        contests = connection.exec_driver_sql("SELECT answer_by_s, delayed FROM contest").all()
    engine.dispose()
    assert [tuple(row) for row in acts] == [(due_s, ""), (0, "")]
    assert [tuple(row) for row in contests] == [(due_s, "")]


def test_it_can_be_upgraded_beforehand_and_twice(first_landed: Path) -> None:
    runner = CliRunner()
    first = runner.invoke(cli.app, ["migrate", str(first_landed)])
    assert first.output.splitlines()[0] == f"node: {Schema.NODE.first} -> {latest(Schema.NODE)}"
    again = runner.invoke(cli.app, ["migrate", str(first_landed)])
    assert again.output.splitlines()[0] == f"node: {latest(Schema.NODE)}"


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(place: Place) -> None:
    engine = open_database(place)
    with writing(engine).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'node_9999'")
    engine.dispose()
    with pytest.raises(SettingsInvalid, match="newer"):
        open_database(place)
    engine = connect(place)
    assert revision_of(engine) == "node_9999"
    engine.dispose()


@pytest.mark.parametrize("order", [list(Schema), list(Schema)[::-1]])
def test_rows_and_keys_in_one_database_are_refused(place: Place, order: list[Schema]) -> None:
    open_database(place, order[0]).dispose()
    with pytest.raises(SettingsInvalid, match="one database"):
        open_database(place, order[1])


def test_rows_and_keys_in_one_database_are_refused_under_two_schemas_of_it_too(postgres: Server) -> None:
    url = postgres.fresh(None)
    engine = connect(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA keys")
    engine.dispose()
    open_database(url, Schema.NODE).dispose()
    with pytest.raises(SettingsInvalid, match="one database"):
        open_database(f"{url}?options=-csearch_path%3Dkeys", Schema.CUSTODY)


def test_an_upgrade_that_finds_somebody_writing_waits_no_longer_than_its_bound(first_landed: Path) -> None:
    holder = connect(first_landed / "node.db")
    with writing(holder).begin(), pytest.raises(StorageUnavailable):
        migrate(first_landed / "node.db", Schema.NODE)
    assert revision_of(holder) == ""
    holder.dispose()


def test_an_upgrade_that_fails_half_way_leaves_everything_as_it_was(
    first_landed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The triggers come last: without them, it is rolled back to before the first step."""
    engine = connect(first_landed / "node.db")
    before = described(engine)
    monkeypatch.setattr("tallystick_node.migrations.make_triggers", refused)
    with pytest.raises(IntegrityError):
        migrate(first_landed / "node.db", Schema.NODE)
    assert revision_of(engine) == ""
    assert described(engine) == before
    engine.dispose()


def refused(connection: sa.Connection, _schema: str) -> None:
    connection.exec_driver_sql("INSERT INTO head SELECT * FROM head")


def test_two_replicas_that_start_at_once_upgrade_once(postgres: Server) -> None:
    url = postgres.fresh(None)
    with ThreadPoolExecutor(4) as starting:
        for engine in starting.map(open_database, [url] * 4):
            assert revision_of(engine) == latest(Schema.NODE)
            engine.dispose()


# What no database may hold or do


@pytest.mark.parametrize("schema", Schema)
def test_no_date_of_a_databases_own_and_no_narrow_number_stands_in_any_table(schema: Schema) -> None:
    """A date would come back with another zone from each database; a whole number of 32 bits ends in 2038."""
    for table in schema.metadata.tables.values():
        for column in table.columns:
            kind = column.type.dialect_impl(postgresql.dialect())
            assert not isinstance(kind, sa.Date | sa.DateTime | sa.Time | sa.Interval | sa.Float | sa.Numeric), column
            assert not isinstance(kind, sa.Integer) or isinstance(kind, sa.BigInteger), column
