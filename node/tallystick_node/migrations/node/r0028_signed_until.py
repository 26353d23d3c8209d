"""When a stop was signed for is known, so that the row goes once nobody can ask again."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "node_0028"
down_revision = "node_0027"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
READ_AT_ONCE = 1_000


def upgrade() -> None:
    """Add the time; what was signed before says it itself."""
    op.add_column("signedfor", sa.Column("at_s", WHOLE, nullable=False, server_default="0"))
    op.create_index("ix_signedfor_at_s", "signedfor", ["at_s"])
    signed = sa.table("signedfor", sa.column("signed"), sa.column("token"), sa.column("at_s"))
    of = sa.update(signed).where(signed.c.signed == sa.bindparam("of")).values(at_s=sa.bindparam("at"))
    last = ""
    while rows := _after(signed, last):
        op.get_bind().execute(of, [{"of": row.signed, "at": _at_s(row.token)} for row in rows])
        last = rows[-1].signed


def _after(signed: sa.TableClause, last: str) -> Sequence[Any]:
    some = sa.select(signed.c.signed, signed.c.token).where(signed.c.signed > last).order_by(signed.c.signed)
    return op.get_bind().execute(some.limit(READ_AT_ONCE)).all()


def _at_s(token: str) -> int:
    payload = token.split(".")[1]
    return int(json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["at"])
