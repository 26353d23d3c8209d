"""Why: decisions keep band, flags and claim; a subject may contest one; a recipient keeps the band it heard."""

import sqlalchemy as sa
from alembic import op

revision = "node_0008"
down_revision = "node_0007"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add what explains a decision, and what contests one."""
    op.add_column("decision", sa.Column("band", WHOLE, nullable=True))
    op.add_column("decision", sa.Column("flags", sa.String(), nullable=False, server_default=sa.text("'{}'")))
    op.add_column("decision", sa.Column("claim", sa.String(), nullable=False, server_default=sa.text("''")))
    op.add_column("claim", sa.Column("band", WHOLE, nullable=True))
    op.create_table(
        "contest",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("subject", sa.String(), nullable=False, index=True),
        sa.Column("receipt", sa.String(), nullable=False, index=True),
        sa.Column("decision", WHOLE, nullable=False, unique=True),
        sa.Column("ground", sa.String(), nullable=False),
        sa.Column("contested_at_s", WHOLE, nullable=False),
    )
