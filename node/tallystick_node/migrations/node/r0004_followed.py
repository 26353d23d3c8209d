"""Partners' logs are followed: what was seen of each, and what of it stands in our own."""

import sqlalchemy as sa
from alembic import op

revision = "node_0004"
down_revision = "node_0003"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add `followed`."""
    op.create_table(
        "followed",
        sa.Column("origin", sa.String(), primary_key=True),
        sa.Column("partner", sa.String(), nullable=False, index=True),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("own_log", sa.String(), nullable=False),
        *(sa.Column(name, WHOLE, nullable=False) for name in ("anchors", "anchored_size", "news", "seen_at_s")),
    )
