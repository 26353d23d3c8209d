"""Rows know whose tombstones they obeyed, so that these stand again where custody comes back with a backup."""

import sqlalchemy as sa
from alembic import op

revision = "node_0024"
down_revision = "node_0023"


def upgrade() -> None:
    """Add the name; those that are there get theirs from custody at the next start."""
    op.add_column("buried", sa.Column("name", sa.String(), nullable=False, server_default=""))
