"""What a partner says of what has ended or has not come is kept once each, and under whose word it was."""

import sqlalchemy as sa
from alembic import op

revision = "node_0025"
down_revision = "node_0024"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add which end a stop crossed, and whose claim was overtaken: what was kept before did not say."""
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
