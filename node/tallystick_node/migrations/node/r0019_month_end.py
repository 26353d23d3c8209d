"""What is due, and what was told under a receipt, is found among many."""

from alembic import op

revision = "node_0019"
down_revision = "node_0018"


def upgrade() -> None:
    """Add an index of receipts in the order in which they are closed, and one of decisions by receipt."""
    op.drop_index("ix_receipt_next_close_s", "receipt")
    op.create_index("receipt_by_close", "receipt", ["next_close_s", "id"])
    op.create_index("ix_decision_receipt", "decision", ["receipt"])
