"""A head says how much of its log is published, so that those rows of entries may be dropped."""

import sqlalchemy as sa
from alembic import op

revision = "node_0002"
down_revision = "node_0001"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add `head.published_size`."""
    op.add_column("head", sa.Column("published_size", WHOLE, nullable=False, server_default="0"))
