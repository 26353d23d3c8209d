"""What every table has in common: how wide its numbers are."""

from sqlalchemy import BigInteger, Integer, Table
from sqlmodel import SQLModel

WHOLE = BigInteger().with_variant(Integer(), "sqlite")
"""Times, sizes and amounts have 64 bits on every database; SQLite's INTEGER has them already."""


def table_of(model: type[SQLModel]) -> Table:
    """Return the table of a model, for statements to be built from."""
    table = SQLModel.metadata.tables[model.__name__.lower()]
    for column in table.columns:
        if isinstance(column.type, Integer):
            column.type = WHOLE
            if column.primary_key and model.model_fields[column.name].is_required():
                column.autoincrement = False  # no sequence of PostgreSQL for what we number ourselves
    return table
