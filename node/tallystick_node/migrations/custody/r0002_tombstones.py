"""Tombstones: whose rows are to be gone, also where a backup brings them back."""

import sqlalchemy as sa
from alembic import op

revision = "custody_0002"
down_revision = "custody_0001"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table. Whoever was erased before has a destroyed key, and rows without one."""
    op.create_table(
        "tombstone",
        sa.Column("number", WHOLE, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("outlives", sa.Text(), nullable=False),
        sa.Column("until_s", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("name"),
    )
    op.create_index("tombstone_by_until", "tombstone", ["until_s"])
