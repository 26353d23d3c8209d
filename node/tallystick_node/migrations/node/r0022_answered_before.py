"""A link knows up to when earlier links of its subject answered."""

import sqlalchemy as sa
from alembic import op

revision = "node_0022"
down_revision = "node_0021"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add `answered_until_s` to links and to `u`; of a link that ended before, all until it is free."""
    for table in ("link", "linkunique"):
        op.add_column(table, sa.Column("answered_until_s", WHOLE, nullable=False, server_default="0"))
    op.execute(sa.text("UPDATE linkunique SET answered_until_s = free_from_s WHERE free_from_s IS NOT NULL"))
