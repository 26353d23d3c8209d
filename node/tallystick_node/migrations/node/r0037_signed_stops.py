"""Of a receipt, what stopped it stays as it was signed, and where the entries stand that name what is signed."""

import sqlalchemy as sa
from alembic import op

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "node_0037"
down_revision = "node_0036"


def upgrade() -> None:
    """Add what is not known of receipts from before."""
    for name in ("signed_log", "stop", "stop_acknowledgement", "stop_log"):
        op.add_column("receipt", sa.Column(name, sa.String(), nullable=True))
    for name in ("signed_leaf", "stop_leaf"):
        op.add_column("receipt", sa.Column(name, WHOLE, nullable=True))
