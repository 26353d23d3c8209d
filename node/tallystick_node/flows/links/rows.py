"""Links as their rows are kept and shown, and the name of a link's secret."""

from typing import Any

from sqlalchemy import insert, select

from tallystick import wire
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import LINKS


def find_links(node: Node, subject: str) -> wire.Links:
    """Return the links of one customer."""
    rows = node.rows(select(LINKS).where(LINKS.c.subject == subject).order_by(LINKS.c.created_at_s, LINKS.c.id))
    return wire.Links(links=tuple(shown_link(row) for row in rows))


def insert_link(transaction: Transaction, *, link: str, **fields: Any) -> wire.Link:
    """Keep a link that waits for its confirmation, and return it as it is shown."""
    values = {"id": link, "state": "pending", "created_at_s": transaction.now_s, **fields}
    transaction.execute(insert(LINKS).values(**values))
    return shown_link(transaction.row(select(LINKS).where(LINKS.c.id == link)))


def shown_link(row: Any) -> wire.Link:
    """Return a row as an app is shown it."""
    return wire.Link(
        link=row.id,
        partner=row.partner,
        program=row.program,
        role=row.role,
        state=row.state,
        partner_hint=row.partner_hint,
        created_at=row.created_at_s,
    )


def link_secret_name(link: str) -> str:
    """Return the name under which custody keeps a link's secret."""
    return f"link/{link}"
