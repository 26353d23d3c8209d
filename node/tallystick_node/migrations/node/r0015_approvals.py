"""An approval is of exactly what was approved: these terms, after that yes."""

import sqlalchemy as sa
from alembic import op

revision = "node_0015"
down_revision = "node_0014"


def upgrade() -> None:
    """Add the column; approvals of before say of nothing in particular that it was approved, and are asked for anew."""
    op.add_column("act", sa.Column("yes_to", sa.String(), nullable=False, server_default=sa.text("''")))
