"""What a correction makes good is answered at a time of its own; messages are found by what they are about."""

import sqlalchemy as sa
from alembic import op

revision = "node_0027"
down_revision = "node_0026"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add `madegood`, and an index."""
    op.create_table(
        "madegood",
        sa.Column("receipt", sa.String(), primary_key=True),
        sa.Column("period", sa.String(), primary_key=True),
        sa.Column("correction", sa.String(), nullable=False),
        sa.Column("log", sa.String(), nullable=False),
        sa.Column("due_s", WHOLE, nullable=False),
    )
    op.create_index("ix_madegood_due_s", "madegood", ["due_s"])
    op.create_index("ix_message_about", "message", ["about"])
