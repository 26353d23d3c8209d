"""Programs keep the order in which they were logged."""

import sqlalchemy as sa
from alembic import op

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "node_0031"
down_revision = "node_0029"


def upgrade() -> None:
    """Add the order; of what was logged before it is not known, and stays that of their names."""
    op.add_column("program", sa.Column("logged", WHOLE, nullable=True))
