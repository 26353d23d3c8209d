"""An answer that takes longer than a month, and was said to; what is open is listed by when it is due."""

import sqlalchemy as sa
from alembic import op

from tallystick_consent.receipts.answering import answer_by_s

revision = "node_0029"
down_revision = "node_0028"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add when an answer is due, and why it takes longer; what is open by now is due a month after it was asked for."""
    for table, asked in (("act", "at_s"), ("contest", "contested_at_s")):
        op.add_column(table, sa.Column("delayed", sa.String(), nullable=False, server_default=sa.text("''")))
        op.add_column(table, sa.Column("answer_by_s", WHOLE, nullable=False, server_default="0"))
        rows = sa.table(table, sa.column("id"), sa.column("state"), sa.column(asked), sa.column("answer_by_s"))
        connection = op.get_bind()
        is_asked = rows.c.state == "open" if table == "act" else sa.true()
        for row in connection.execute(sa.select(rows.c.id, rows.c[asked]).where(is_asked)).all():
            due = {"answer_by_s": answer_by_s(row[1])}
            connection.execute(sa.update(rows).where(rows.c.id == row[0]).values(**due))
    op.drop_index("act_open", "act")
    op.create_index("act_open", "act", ["state", "answer_by_s"])
