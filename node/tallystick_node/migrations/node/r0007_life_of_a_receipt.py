"""A receipt says since when the other partner has not signed for its last step, and what its ending lets through."""

import sqlalchemy as sa
from alembic import op

revision = "node_0007"
down_revision = "node_0006"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add what the life of a receipt needs. What was not acknowledged so far is so since it was asked for, or ended."""
    op.add_column("receipt", sa.Column("unacknowledged_since_s", WHOLE, nullable=True))
    op.add_column("receipt", sa.Column("lived_leaf", WHOLE, nullable=True))
    op.add_column("receipt", sa.Column("settles_until_s", WHOLE, nullable=True))
    op.create_index("ix_receipt_settles_until_s", "receipt", ["settles_until_s"])
    op.create_index("ix_receipt_unacknowledged_since_s", "receipt", ["unacknowledged_since_s"])
    for state, acknowledged_at in (("given", "acknowledged_at_s"), ("withdrawn", "end_acknowledged_at_s")):
        op.get_bind().execute(
            sa.text(
                "UPDATE receipt SET unacknowledged_since_s = COALESCE(ended_at_s, requested_at_s) "  # noqa: S608
                f"WHERE role = 'issuer' AND state = '{state}' AND {acknowledged_at} IS NULL"
            )
        )
