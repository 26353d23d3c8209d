"""A link knows up to when earlier links of its subject answered."""

import sqlalchemy as sa
from alembic import op

revision = "node_0022"
down_revision = "node_0021"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TOLD_BEFORE = """
UPDATE link SET answered_until_s = COALESCE((
    SELECT MAX(earlier.ended_at_s) FROM link AS earlier
    WHERE earlier.subject = link.subject AND earlier.partner = link.partner AND earlier.program = link.program
    AND earlier.role = 'issuer' AND earlier.state = 'ended' AND EXISTS (
        SELECT 1 FROM receipt JOIN claim ON claim.receipt = receipt.id
        WHERE receipt.link = earlier.id AND claim.role = 'issuer' AND claim.state <> 'withheld'
    )
), 0) WHERE role = 'issuer' AND state <> 'ended'
"""


def upgrade() -> None:
    """Add `answered_until_s` to links and to `u`; of a link that ended before, all until it is free.

    An open link takes the end of the last one before it that told something: what was told had closed by then. Links to
    come find in the claims what those before them told.
    """
    for table in ("link", "linkunique"):
        op.add_column(table, sa.Column("answered_until_s", WHOLE, nullable=False, server_default="0"))
    op.execute(sa.text("UPDATE linkunique SET answered_until_s = free_from_s WHERE free_from_s IS NOT NULL"))
    op.execute(sa.text(TOLD_BEFORE))
