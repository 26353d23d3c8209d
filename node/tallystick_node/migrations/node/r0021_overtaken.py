"""A claim whose retraction came before it is not taken when it comes."""

import sqlalchemy as sa
from alembic import op

revision = "node_0021"
down_revision = "node_0020"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add `overtaken`."""
    op.create_table(
        "overtaken",
        sa.Column("claim", sa.String(), primary_key=True),
        sa.Column("at_s", WHOLE, nullable=False),
    )
