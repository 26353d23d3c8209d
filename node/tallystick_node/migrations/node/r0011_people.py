"""Who speaks for whom is on record, and so is what people do without an app."""

import sqlalchemy as sa
from alembic import op

revision = "node_0011"
down_revision = "node_0010"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add `standing`, `act`, `letter` and `matching`, and until when a link waits."""
    op.add_column("link", sa.Column("waits_until_s", WHOLE, nullable=True))
    op.create_index("ix_link_waits_until_s", "link", ["waits_until_s"])
    op.create_table(
        "standing",
        sa.Column("subject", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("speakers", sa.String(), nullable=False),
        *(sa.Column(name, WHOLE, nullable=True) for name in ("of_age_from_s", "needed")),
        sa.Column("recorded_at_s", WHOLE, nullable=False),
    )
    op.create_table(
        "act",
        sa.Column("number", WHOLE, primary_key=True),
        sa.Column("id", sa.String(), nullable=False, unique=True),
        sa.Column("subject", sa.String(), nullable=False, index=True),
        sa.Column("receipt", sa.String(), nullable=False, index=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("kind", "by", "grade", "state")),
        *(sa.Column(name, sa.LargeBinary(), nullable=False) for name in ("commitment", "ciphertext")),
        sa.Column("at_s", WHOLE, nullable=False),
    )
    op.create_table(
        "letter",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("subject", sa.String(), nullable=False, index=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("tries", WHOLE, nullable=False),
        sa.Column("expires_at_s", WHOLE, nullable=False, index=True),
    )
    op.create_table(
        "matching",
        sa.Column("offer", sa.String(), primary_key=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False, index=True),
        sa.Column("link", sa.String(), nullable=True),
        sa.Column("at_s", WHOLE, nullable=False),
    )
