"""Statements in the database driver's own words, for what runs in every commit.

SQLAlchemy still opens the connection, begins and ends the transaction, and writes the SQL of each statement, once for
each kind of database; what is left out is its work on every execution, which costs more than the statement does.

Source: SQLAlchemy's notes on driver-level connections; PEP 249.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.sql.expression import ClauseElement


class Prepared:
    """A statement whose text is made once for each kind of database; its values are passed by name, as they are."""

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._texts: dict[str, str] = {}

    def text(self, dialect: Dialect) -> str:
        """Return the statement as the driver takes it."""
        text = self._texts.get(dialect.name)
        if text is None:
            # Named values on both: the driver of SQLite counts places unless it is asked for names.
            kind: Any = type(dialect)
            named: Dialect = kind(paramstyle="named") if dialect.name == "sqlite" else dialect
            text = self._texts[dialect.name] = str(self._statement.compile(dialect=named))
        return text


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
        return self._cursor.execute(statement.text(self.dialect), values)

    def run_text(self, text: str) -> Any:
        """Run a statement that is the same for every database, or fit for this one; return the cursor."""
        return self._cursor.execute(text)
