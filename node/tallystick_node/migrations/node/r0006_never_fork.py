"""A head knows its last entry's time, and whether its log may go on; rows know in which log their entry stands."""

import sqlalchemy as sa
from alembic import op

revision = "node_0006"
down_revision = "node_0005"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add what the turn of a year needs. What is there already stands in the one log there is."""
    op.add_column("head", sa.Column("last_at_s", WHOLE, nullable=False, server_default="0"))
    op.add_column("head", sa.Column("contradicted_by", sa.LargeBinary(), nullable=True))
    op.add_column("receipt", sa.Column("last_step", sa.String(), nullable=False, server_default=sa.text("''")))
    op.add_column("event", sa.Column("log", sa.String(), nullable=False, server_default=sa.text("''")))
    op.add_column("claim", sa.Column("log", sa.String(), nullable=False, server_default=sa.text("''")))
    op.add_column("claim", sa.Column("logged_at_s", WHOLE, nullable=False, server_default="0"))
    connection = op.get_bind()
    name = connection.execute(sa.text("SELECT log FROM head")).scalar() or ""
    for table in ("event", "claim"):
        connection.execute(sa.text(f"UPDATE {table} SET log = :name"), {"name": name})  # noqa: S608
    # A claim of before is no younger than its end, and what counts once is rather remembered too long.
    connection.execute(sa.text("UPDATE claim SET logged_at_s = expires_at_s"))
