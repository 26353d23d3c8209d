"""An event can be corrected, and a reward taken back."""

import sqlalchemy as sa
from alembic import op

revision = "node_0014"
down_revision = "node_0013"


def upgrade() -> None:
    """Add `correction`, what each event was corrected by, and what took back each reward and transfer."""
    op.create_table(
        "correction",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("subject", sa.String(), nullable=False, index=True),
        sa.Column("token", sa.String(), nullable=False),
    )
    op.add_column("event", sa.Column("corrected_by", sa.String(), nullable=True))
    op.add_column("reward", sa.Column("reversed_by", sa.String(), nullable=True))
    op.add_column("transfer", sa.Column("reverses", sa.String(), nullable=True))
    op.create_index("transfer_taken_back_once", "transfer", ["reverses"], unique=True)
