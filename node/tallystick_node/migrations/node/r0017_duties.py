"""What is kept of a receipt is kept until a time."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "node_0017"
down_revision = "node_0016"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

READ_AT_ONCE = 1_000

_HELD = sa.text(
    "SELECT claim.digest, claim.receipt, claim.logged_at_s, receipt.terms FROM claim "
    "JOIN receipt ON receipt.id = claim.receipt WHERE claim.role = 'recipient' AND claim.token <> ''"
)


def upgrade() -> None:
    """Add `duty`, and in it every answer that is held: nothing said so far until when."""
    duty = op.create_table(
        "duty",
        sa.Column("number", WHOLE, primary_key=True),
        sa.Column("receipt", sa.String(), nullable=False, index=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("field", "ground", "claim")),
        sa.Column("due_s", WHOLE, nullable=False, index=True),
        sa.Column("declared", sa.Boolean(), nullable=False),
    )
    # A million answers, terms and all, are some gigabytes: read, and written, some at a time.
    held = op.get_bind().execute(_HELD, execution_options={"yield_per": READ_AT_ONCE})
    for some in held.partitions():
        op.bulk_insert(duty, [_owed(row) for row in some])


def _owed(row: Any) -> dict[str, Any]:
    due_s = row.logged_at_s + json.loads(row.terms)["retention_s"]
    kept = {"receipt": row.receipt, "field": "answers", "ground": "consent", "claim": row.digest}
    return {**kept, "due_s": due_s, "declared": False}
