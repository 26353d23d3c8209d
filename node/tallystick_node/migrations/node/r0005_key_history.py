"""What the log tells of this node's own keys; a node fills it when it next starts."""

import sqlalchemy as sa
from alembic import op

revision = "node_0005"
down_revision = "node_0004"


def upgrade() -> None:
    """Make `keylogged`."""
    op.create_table(
        "keylogged",
        sa.Column("public", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("public"),
    )
