"""With a head that was seen of a partner's log the keys are remembered that it was signed with."""

import sqlalchemy as sa
from alembic import op

revision = "node_0013"
down_revision = "node_0012"


def upgrade() -> None:
    """Add the column; of heads seen before only the keys that the partner lists now are known."""
    op.add_column("followed", sa.Column("keys", sa.String(), nullable=False, server_default=sa.text("''")))
