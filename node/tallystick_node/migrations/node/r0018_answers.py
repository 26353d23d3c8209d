"""What people without an app ask for is answered, and so is what somebody contests."""

import sqlalchemy as sa
from alembic import op

revision = "node_0018"
down_revision = "node_0017"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add how a request and a contest were answered, on which ground and when."""
    for table in ("act", "contest"):
        op.add_column(table, sa.Column("because", sa.String(), nullable=False, server_default=sa.text("''")))
        op.add_column(table, sa.Column("correction", sa.String(), nullable=False, server_default=sa.text("''")))
        op.add_column(table, sa.Column("answered_at_s", WHOLE, nullable=True))
    op.add_column("contest", sa.Column("state", sa.String(), nullable=False, server_default=sa.text("'open'")))
    op.create_index("act_open", "act", ["state", "at_s"])
