"""Every row of a database as lines of JSON, from one moment, and back into an empty one.

A copy of a file would be quicker to make, and would have to lie somewhere in clear before it is sealed; rows can be
sealed as they are read. They also go from SQLite to PostgreSQL and back, and nothing of what was deleted goes along.

The first line is `{"revision"}`, of the database. A table begins with `{"table", "columns"}`; each of its rows is an
array in that order, bytes as `{"b": base64}`. The last line is `{"rows": COUNT}`.

Source: docs/formats.md, "Data backups".
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from sqlalchemy import Connection, Engine, MetaData, Table, func, insert, select, text

from tallystick_node.errors import BackupRefused
from tallystick_node.migrations import VERSION_TABLE, revision_in
from tallystick_node.storage.database import is_postgres, storage_errors

ROWS_AT_ONCE = 32
"""How many rows are held at once: one may be as large as all entries of a commit."""

LINE_SIZE_MAX_BYTES = 256 * 1024 * 1024


def rows_of(engine: Engine) -> Iterator[bytes]:
    """Yield the lines of a database, all as it was at one moment, while others write.

    Raises:
        StorageUnavailable: it cannot be read.
    """
    with storage_errors(), engine.connect() as plain:
        asked: dict[str, Any] = {"stream_results": True, "yield_per": ROWS_AT_ONCE}
        if is_postgres(engine):
            asked |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        connection, count = plain.execution_options(**asked), 0
        yield _line({"revision": revision_in(connection)})
        for table in _tables(connection).values():
            yield _line({"table": table.name, "columns": [column.name for column in table.columns]})
            for row in connection.execute(select(table)):
                count += 1
                yield _line([_told(value) for value in row])
        yield _line({"rows": count})


def revision_told(line: bytes) -> str:
    """Return which revision of the database the lines are of, by the first.

    Raises:
        BackupRefused: it is no such line.
    """
    revision = _members(_parsed(line)).get("revision")
    if not isinstance(revision, str):
        raise malformed()
    return revision


def put_rows(connection: Connection, lines: Iterable[bytes]) -> None:
    """Put the lines of a database, but for the first, into tables that are empty.

    Raises:
        BackupRefused: the lines are not those of such a database.
    """
    tables = _tables(connection)
    table: Table | None = None
    waiting: list[dict[str, Any]] = []
    count = 0
    for line in lines:
        said = _parsed(line)
        if isinstance(said, list) and table is not None:
            row = cast("Sequence[Any]", said)
            if len(row) != len(table.columns):
                raise malformed()
            waiting.append({name: _meant(value) for name, value in zip(table.columns.keys(), row, strict=True)})
            count += 1
            if len(waiting) == ROWS_AT_ONCE:
                _put(connection, table, waiting)
            continue
        _put(connection, table, waiting)
        if said == {"rows": count}:
            break
        table = _begun(tables, said)
    else:
        raise malformed()
    if is_postgres(connection):
        _go_on_counting(connection, tables)


def malformed() -> BackupRefused:
    """Return the error for what opens, and is no backup that this version knows."""
    return BackupRefused(
        "backup_malformed", "The backup is not of a form that this version knows.", remedy="Use a later version."
    )


def _tables(connection: Connection) -> dict[str, Table]:
    """Return the tables as the database has them: those of the revision it is at."""
    found = MetaData()
    found.reflect(connection)
    return {name: table for name, table in sorted(found.tables.items()) if name != VERSION_TABLE}


def _begun(tables: dict[str, Table], said: Any) -> Table:
    told = _members(said)
    table = tables.get(str(told.get("table")))
    if table is None or told.get("columns") != table.columns.keys():
        raise malformed()
    return table


def _members(said: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", said) if isinstance(said, dict) else {}


def _put(connection: Connection, table: Table | None, waiting: list[dict[str, Any]]) -> None:
    if table is not None and waiting:
        connection.execute(insert(table), waiting)
    waiting.clear()


def _go_on_counting(connection: Connection, tables: dict[str, Table]) -> None:
    """Let PostgreSQL number new rows after those that were put in with their numbers; SQLite does by itself."""
    for table in tables.values():
        for column in table.primary_key.columns:
            named = {"table": f'"{table.name}"', "column": column.name}
            sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:table, :column)"), named)
            last = None if sequence is None else connection.scalar(select(func.max(column)))
            if last is not None:
                connection.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last})


def _line(said: Any) -> bytes:
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise malformed() from None


def _told(value: Any) -> Any:
    return {"b": b64encode(value).decode("ascii")} if isinstance(value, bytes) else value


def _meant(value: Any) -> Any:
    return b64decode(_members(value)["b"]) if isinstance(value, dict) else value
