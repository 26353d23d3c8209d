"""Erasures, the tombstones that these rows have obeyed, and whom a kept reply tells of."""

import sqlalchemy as sa
from alembic import op

revision = "node_0010"
down_revision = "node_0009"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add them. Of whom the replies tell that are kept already is not known: they go within 30 days."""
    op.add_column("idempotency", sa.Column("subject", sa.String(), nullable=False, server_default=sa.text("''")))
    op.create_index("ix_idempotency_subject", "idempotency", ["subject"])
    op.create_table(
        "buried",
        sa.Column("number", WHOLE, autoincrement=False, nullable=False),
        sa.Column("scrubbed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "erasure",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("link", sa.String(), nullable=False),
        sa.Column("partner", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("of", sa.String(), nullable=False),
        sa.Column("buried", WHOLE, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("receipts", sa.String(), nullable=False),
        sa.Column("held", sa.String(), nullable=False),
        sa.Column("due_s", WHOLE, nullable=False),
        sa.Column("asked_at_s", WHOLE, nullable=True),
        sa.Column("attested_at_s", WHOLE, nullable=True),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("attestation", sa.String(), nullable=False),
        sa.Column("log", sa.String(), nullable=False),
        sa.Column("leaf", WHOLE, nullable=True),
        sa.Column("attested_log", sa.String(), nullable=False),
        sa.Column("attested_leaf", WHOLE, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    for column in ("link", "of", "state"):
        op.create_index(f"ix_erasure_{column}", "erasure", [column])
