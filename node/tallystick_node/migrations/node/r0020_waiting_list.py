"""A reward that waits keeps what it is paid for, so that it can be paid later."""

import sqlalchemy as sa
from alembic import op

revision = "node_0020"
down_revision = "node_0019"


def upgrade() -> None:
    """Add which entry accepted the claim of each reward; of those that are there already it is not known."""
    op.add_column("reward", sa.Column("cause", sa.String(), nullable=False, server_default=sa.text("''")))
