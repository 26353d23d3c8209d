"""What is due, and what is to leave next, is found among many that are over."""

import sqlalchemy as sa
from alembic import op

revision = "node_0035"
down_revision = "node_0031"

LEAVING = ["partner", "not_before_s", "number"]


def upgrade() -> None:
    """Add indexes of the few rows that a node asks for again and again."""
    op.create_index("link_by_end", "link", ["ended_at_s"])
    for name, table, columns, of in (
        ("link_pending", "link", ["created_at_s"], "state = 'pending'"),
        ("receipt_asked", "receipt", ["requested_at_s"], "state IN ('deferred', 'requested')"),
        ("receipt_running", "receipt", ["valid_until_s"], "ended_at_s IS NULL"),
        ("claim_outstanding", "claim", ["expires_at_s"], "state = 'issued'"),
        ("message_to_go", "message", LEAVING, "state = 'queued' AND kind != 'claim.issued'"),
        ("answer_to_go", "message", LEAVING, "state = 'queued' AND kind = 'claim.issued'"),
    ):
        op.create_index(name, table, columns, sqlite_where=sa.text(of), postgresql_where=sa.text(of))
