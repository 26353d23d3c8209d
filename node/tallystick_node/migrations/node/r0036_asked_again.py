"""A refusal that a partner asked for counts how often it did."""

import sqlalchemy as sa
from alembic import op

revision = "node_0036"
down_revision = "node_0035"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add how often a partner asked; of refusals before, that is not known."""
    op.add_column("decision", sa.Column("asked", WHOLE, nullable=False, server_default="0"))
