"""A claim that was accepted keeps the id of the entry that says so, which a reward names as its cause."""

import sqlalchemy as sa
from alembic import op

revision = "node_0023"
down_revision = "node_0022"


def upgrade() -> None:
    """Add it; of claims that are there already it stands in the ledger alone."""
    op.add_column("claim", sa.Column("entry", sa.String(), nullable=False, server_default=""))
