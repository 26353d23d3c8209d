"""Who speaks for whom is known with the app that said so."""

import sqlalchemy as sa
from alembic import op

revision = "node_0026"
down_revision = "node_0025"


def upgrade() -> None:
    """Add the app's name; of what was recorded before it is not known."""
    op.add_column("standing", sa.Column("recorded_by", sa.String(), nullable=False, server_default=""))
