"""Statements in the database driver's own words, for what runs in every commit.

SQLAlchemy still opens the connection, begins and ends the transaction, and writes the SQL of each statement, once for
each kind of database; what is left out is its work on every execution, which costs more than the statement does.

Source: SQLAlchemy's notes on driver-level connections; PEP 249.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.sql.expression import ClauseElement


class Prepared:
    """A statement whose text is made once for each kind of database; its values are passed by name, as they are."""

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._made: dict[str, tuple[str, dict[str, object]]] = {}

    def for_driver(self, dialect: Dialect, values: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
        """Return the statement as the driver takes it, and its values with those that the statement itself names."""
        made = self._made.get(dialect.name)
        if made is None:
            # Named values on both: the driver of SQLite counts places unless it is asked for names.
            kind: Any = type(dialect)
            named: Dialect = kind(paramstyle="named") if dialect.name == "sqlite" else dialect
            compiled = self._statement.compile(dialect=named)
            own = {name: value for name, value in (compiled.params or {}).items() if value is not None}
            made = self._made[dialect.name] = str(compiled), own
        text, own = made
        return text, {**own, **values} if own else values


class Driver:
    """The driver's connection under a transaction of SQLAlchemy's: both see one transaction.

    Attributes:
        dialect: which kind of database it is.
        error: what the driver raises, in SQLAlchemy's place.
    """

    def __init__(self, connection: Connection) -> None:
        self.dialect = connection.dialect
        self.error: type[Exception] = self.dialect.loaded_dbapi.Error
        self._cursor: Any = connection.connection.cursor()

    def run(self, statement: Prepared, values: Mapping[str, object]) -> Any:
        """Run a statement; return the cursor with its rows."""
        return self._cursor.execute(*statement.for_driver(self.dialect, values))

    def run_text(self, text: str) -> Any:
        """Run a statement that is the same for every database, or fit for this one; return the cursor."""
        return self._cursor.execute(text)

    def copy_in(self, table: str, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
        """Insert many rows into a table of a PostgreSQL, in order, with the values of these columns.

        A row takes a fraction of what one `INSERT` does. Names are those of our tables, never somebody's text.
        """
        named = ", ".join(f'"{name}"' for name in columns)
        with self._cursor.copy(f'COPY "{table}" ({named}) FROM STDIN') as copy:
            for row in rows:
                copy.write_row(tuple(row.values()))
