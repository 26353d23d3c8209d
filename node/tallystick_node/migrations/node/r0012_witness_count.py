"""The database counts how often each witness key has cosigned, so that one that was put back is known."""

import sqlalchemy as sa
from alembic import op

revision = "node_0012"
down_revision = "node_0011"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add `witnesscount`."""
    op.create_table(
        "witnesscount",
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("cosigned", WHOLE, nullable=False),
    )
