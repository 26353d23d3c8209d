"""Heads and entries stand under the name of their log, so that one database can hold a log and its successors."""

import sqlalchemy as sa
from alembic import op

revision = "node_0003"
down_revision = "node_0002"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Key `head` and `blob` by the log, whose name stands in the head's first line: `HOST/log/NAME`."""
    connection = op.get_bind()
    checkpoint = connection.execute(sa.text("SELECT checkpoint FROM head")).scalar()
    name = "" if checkpoint is None else bytes(checkpoint).partition(b"\n")[0].decode().rpartition("/")[2]
    for table in ("head", "blob"):
        op.rename_table(table, f"{table}_unnamed")
    op.create_table(
        "head",
        sa.Column("log", sa.String(), nullable=False),
        sa.Column("size", WHOLE, nullable=False),
        sa.Column("peaks", sa.LargeBinary(), nullable=False),
        sa.Column("checkpoint", sa.LargeBinary(), nullable=False),
        sa.Column("published_size", WHOLE, nullable=False, server_default="0"),
        sa.Column("successor", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("log"),
    )
    op.create_table(
        "blob",
        sa.Column("log", sa.String(), nullable=False),
        sa.Column("first", WHOLE, nullable=False),
        sa.Column("count", WHOLE, nullable=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", "first"),
    )
    if connection.dialect.name == "postgresql":
        # Entries are read whole and soon dropped: to compress them first would take as long as everything else.
        op.execute("ALTER TABLE blob ALTER COLUMN entries SET STORAGE EXTERNAL")
    for table, columns in (("head", "size, peaks, checkpoint, published_size"), ("blob", 'first, "count", entries')):
        moved = f"INSERT INTO {table} (log, {columns}) SELECT :name, {columns} FROM {table}_unnamed"  # noqa: S608
        connection.execute(sa.text(moved), {"name": name})
        op.drop_table(f"{table}_unnamed")
