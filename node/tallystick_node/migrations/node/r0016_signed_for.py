"""A stop is signed for once, however often it comes."""

import sqlalchemy as sa
from alembic import op

revision = "node_0016"
down_revision = "node_0015"


def upgrade() -> None:
    """Add `signedfor`."""
    op.create_table(
        "signedfor",
        sa.Column("signed", sa.String(), primary_key=True),
        sa.Column("token", sa.String(), nullable=False),
    )
