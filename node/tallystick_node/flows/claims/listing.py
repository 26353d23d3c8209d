"""Claims that this node issued or accepted, as its operator reads them."""

from sqlalchemy import select

from tallystick import wire
from tallystick_ledger.encoding import from_base64url, to_base64url
from tallystick_node.errors import no_such_thing
from tallystick_node.node import Node
from tallystick_node.storage.tables import CLAIMS


def list_claims(node: Node, *, limit: int, before: int | None) -> wire.Claims:
    """Return a page of claims, newest first, from before a number on."""
    query = select(CLAIMS).order_by(CLAIMS.c.number.desc()).limit(limit + 1)
    rows = node.rows(query if before is None else query.where(CLAIMS.c.number < before))
    page = rows[:limit]
    return wire.Claims(
        claims=tuple(
            wire.Claim(
                claim=row.id,
                partner=row.partner,
                program=row.program,
                version=row.version,
                period=row.period,
                receipt=row.receipt,
                state=row.state,
                expires_at=row.expires_at_s,
                log_index=row.leaf,
                band=row.band,
            )
            for row in page
        ),
        has_more=len(rows) > limit,
        next_cursor=to_base64url(str(page[-1].number).encode()) if len(rows) > limit else None,
    )


def cursor_number(cursor: str | None) -> int | None:
    """Return the number that a page's cursor holds.

    Raises:
        NotFound: it is not a cursor of ours.
    """
    if cursor is None:
        return None
    text = from_base64url(cursor)
    if not text.isdigit() or len(text) > 15:
        raise no_such_thing()
    return int(text)
