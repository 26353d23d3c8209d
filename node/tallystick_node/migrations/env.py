"""What alembic runs: the revisions, over the connection that was handed in."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import BigInteger
from sqlmodel.sql.sqltypes import AutoString


def _render(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """A revision names plain types only: it must mean the same when the models have moved on."""
    if kind == "type" and isinstance(item, AutoString):
        return "sa.String()"
    return "WHOLE" if kind == "type" and isinstance(item, BigInteger) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes["metadata"],
    render_as_batch=True,  # SQLite alters a table by copying it
    render_item=_render,
    transactional_ddl=True,
)
context.run_migrations()
