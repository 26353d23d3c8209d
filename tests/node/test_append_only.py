"""History is kept by the database itself: SQL that would rewrite it is refused, on both of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Server
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import IntegrityError

from tallystick_node.migrations import Schema, migrate, open_database
from tallystick_node.storage.database import is_postgres, is_storage_trouble, writing
from tallystick_node.storage.tables import BLOBS, HEADS

LOG = (
    "INSERT INTO head (log, size, peaks, checkpoint, published_size) VALUES ('2026', 99, 'peaks', 'head of 99', 99)",
    "UPDATE head SET successor = '2027'",
    "INSERT INTO blob (log, first, \"count\", entries) VALUES ('2027', 0, 3, 'abc'), ('2027', 3, 5, 'defgh')",
    "INSERT INTO head (log, size, peaks, checkpoint) VALUES ('2027', 8, 'peaks of 8', 'head of 8')",
    "UPDATE head SET published_size = 5 WHERE log = '2027'",
)
GROWTH = (
    "INSERT INTO blob (log, first, \"count\", entries) VALUES ('2027', 8, 1, 'i')",
    "UPDATE head SET size = 9, peaks = 'peaks of 9', checkpoint = 'head of 9' WHERE log = '2027'",
    "UPDATE head SET published_size = 8 WHERE log = '2027'",
    "DELETE FROM blob WHERE log = '2027' AND first + \"count\" <= 8",
)
REWRITES = {
    "a smaller head": "UPDATE head SET size = 7, peaks = 'of 7', checkpoint = 'of 7' WHERE log = '2027'",
    "a head of the same size": "UPDATE head SET checkpoint = 'another of 8' WHERE log = '2027'",
    "another tree of the same size": "UPDATE head SET peaks = 'another of 8' WHERE log = '2027'",
    "a larger size under the same head": "UPDATE head SET size = 9 WHERE log = '2027'",
    "a head under another name": "UPDATE head SET log = '2028' WHERE log = '2027'",
    "no head": "DELETE FROM head WHERE log = '2027'",
    "less that is published": "UPDATE head SET published_size = 4 WHERE log = '2027'",
    "more published than there is": "UPDATE head SET published_size = 9 WHERE log = '2027'",
    "an ended log that goes on": "UPDATE head SET size = 100, checkpoint = 'of 100' WHERE log = '2026'",
    "an ended log that has not ended": "UPDATE head SET successor = NULL WHERE log = '2026'",
    "another successor": "UPDATE head SET successor = '2026-2' WHERE log = '2026'",
    "other entries": "UPDATE blob SET entries = 'xyz' WHERE first = 0",
    "the same entries elsewhere": "UPDATE blob SET first = 11 WHERE first = 0",
    "the same entries in another log": "UPDATE blob SET log = '2026' WHERE first = 0",
    "entries gone that nobody has published": "DELETE FROM blob WHERE first = 3",
    "entries put in below the head": "INSERT INTO blob (log, first, \"count\", entries) VALUES ('2027', 7, 1, 'x')",
}

HEAD_OF_ONE = "INTO head (log, size, peaks, checkpoint, published_size) VALUES ('2027', 1, 'peaks', 'head of 1', 0)"
REPLACEMENTS = {
    "a head put over the one that is there": f"INSERT OR REPLACE {HEAD_OF_ONE}",
    "the same in another spelling": f"REPLACE {HEAD_OF_ONE}",
    "entries put over those that are there": (
        "INSERT OR REPLACE INTO blob (log, first, \"count\", entries) VALUES ('2027', 3, 5, 'other')"
    ),
}


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A log of eight entries in two commits, part of them published, and the one before it, which has ended."""
    server: Server | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    made = open_database(tmp_path / "node.db" if server is None else server.fresh(Schema.NODE))
    for statement in LOG:
        run(made, statement)
    yield made
    made.dispose()


def run(engine: Engine, statement: str) -> None:
    with writing(engine).begin() as connection:
        connection.execute(text(statement))


def rows(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        return [*connection.execute(select(HEADS)).all(), *connection.execute(select(BLOBS)).all()]


@pytest.mark.parametrize("rewrite", REWRITES.values(), ids=REWRITES)
def test_sql_that_rewrites_history_is_refused(engine: Engine, rewrite: str) -> None:
    before = rows(engine)
    with pytest.raises(IntegrityError, match="append only") as refused:
        run(engine, rewrite)
    assert not is_storage_trouble(refused.value)
    assert rows(engine) == before


@pytest.mark.parametrize("rewrite", REPLACEMENTS.values(), ids=REPLACEMENTS)
def test_nothing_is_put_over_what_is_there(tmp_path: Path, rewrite: str) -> None:
    made = open_database(tmp_path / "node.db")  # only SQLite has the statement
    for statement in LOG:
        run(made, statement)
    before = rows(made)
    with pytest.raises(IntegrityError, match="append only"):
        run(made, rewrite)
    assert rows(made) == before
    made.dispose()


def test_a_log_grows_and_drops_what_is_published(engine: Engine) -> None:
    for statement in GROWTH:
        run(engine, statement)
    with engine.connect() as connection:
        ours = select(HEADS.c.size, HEADS.c.published_size).where(HEADS.c.log == "2027")
        assert connection.execute(ours).one() == (9, 8)
        assert connection.execute(select(BLOBS.c.first)).scalars().all() == [8]


@pytest.mark.parametrize("table", ["head", "blob"])
def test_no_table_of_the_log_is_emptied_at_once(engine: Engine, table: str) -> None:
    """PostgreSQL has a statement for it that asks no trigger of rows; SQLite deletes them one by one."""
    before = rows(engine)
    with pytest.raises(IntegrityError, match="append only"):
        run(engine, f"TRUNCATE {table}" if is_postgres(engine) else f"DELETE FROM {table}")  # noqa: S608
    assert rows(engine) == before


def test_a_database_that_is_migrated_again_keeps_its_triggers(tmp_path: Path) -> None:
    migrate(tmp_path / "node.db", Schema.NODE)
    migrate(tmp_path / "node.db", Schema.NODE)
    engine = open_database(tmp_path / "node.db")
    for statement in LOG:
        run(engine, statement)
    with pytest.raises(IntegrityError, match="append only"):
        run(engine, REWRITES["no head"])
    engine.dispose()
