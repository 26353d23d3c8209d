"""Claims that are made from here on can be revoked, each in its place of a status list, and presented by a wallet."""

import sqlalchemy as sa
from alembic import op

revision = "node_0009"
down_revision = "node_0008"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the lists, their places, and the place of each claim; older claims have none, and stay valid.

    Which wallet signed for which link before, nobody looks up: their claims name no key.
    """
    op.create_table(
        "statuslist",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("partner", sa.String(), nullable=False, index=True),
        sa.Column("used", WHOLE, nullable=False),
        sa.Column("changes", WHOLE, nullable=False),
        sa.Column("created_at_s", WHOLE, nullable=False),
    )
    op.create_table(
        "statusplace",
        sa.Column("list", sa.String(), primary_key=True),
        sa.Column("number", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("revoked_at_s", WHOLE, nullable=True),
    )
    op.create_table(
        "walletkey",
        sa.Column("public_key", sa.String(), primary_key=True),
        sa.Column("link", sa.String(), nullable=False),
    )
    op.add_column("claim", sa.Column("has_holder", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("claim", sa.Column("handed_at_s", WHOLE, nullable=True))
    op.add_column("claim", sa.Column("status_list", sa.String(), nullable=True))
    op.add_column("claim", sa.Column("status_index", WHOLE, nullable=True))
