"""What tables have in common: how wide their numbers are, and how a few rows are found among many."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import BigInteger, BindParameter, Index, Integer, Table, bindparam, text
from sqlmodel import SQLModel

WHOLE = BigInteger().with_variant(Integer(), "sqlite")
"""Times, sizes and amounts have 64 bits on every database; SQLite's INTEGER has them already."""


def partial_index(name: str, *columns: str, of: str) -> Index:
    """Return an index of some rows of a table alone, so that these few are found among many that are over.

    Args:
        name: its own.
        columns: in their order.
        of: which rows, in SQL. A statement finds them by it only where it says the same: with `written`.
    """
    return Index(name, *columns, sqlite_where=text(of), postgresql_where=text(of))


def written(value: str | Collection[str]) -> BindParameter[Any]:
    """Return a value, or several in the order of the alphabet, that stands in the statement itself and is no parameter.

    What a parameter will be a database does not know when it chooses how to look, and so passes a partial index over.
    """
    if isinstance(value, str):
        return bindparam(None, value, literal_execute=True)
    return bindparam(None, sorted(map(str, value)), expanding=True, literal_execute=True)


def table_of(model: type[SQLModel]) -> Table:
    """Return the table of a model, for statements to be built from."""
    table = SQLModel.metadata.tables[model.__name__.lower()]
    for column in table.columns:
        if isinstance(column.type, Integer):
            column.type = WHOLE
            if column.primary_key and model.model_fields[column.name].is_required():
                column.autoincrement = False  # no sequence of PostgreSQL for what we number ourselves
    return table
