"""A partner's word is kept once, and as its own; a tombstone is known with every secret that went with it."""

import sqlalchemy as sa
from alembic import op

revision = "node_0025"
down_revision = "node_0024"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add which end a stop crossed, whose claim was overtaken (what was kept before did not say), and what is to be
    destroyed again where custody comes back from before a tombstone."""
    op.add_column("signedfor", sa.Column("crossed", sa.String(), nullable=True))
    op.create_index("signedfor_crossed", "signedfor", ["crossed"], unique=True)
    op.drop_table("overtaken")
    op.create_table(
        "overtaken",
        sa.Column("partner", sa.String(), primary_key=True),
        sa.Column("claim", sa.String(), primary_key=True),
        sa.Column("receipt", sa.String(), nullable=False),
        sa.Column("at_s", WHOLE, nullable=False),
    )
    op.create_index("ix_overtaken_receipt", "overtaken", ["receipt"])
    op.add_column("buried", sa.Column("secrets_too", sa.String(), nullable=False, server_default="[]"))
    op.add_column("buried", sa.Column("outlives", sa.String(), nullable=False, server_default=""))
    op.add_column("buried", sa.Column("until_s", WHOLE, nullable=False, server_default="0"))
