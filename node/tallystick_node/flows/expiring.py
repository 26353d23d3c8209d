"""What comes to an end by itself, piece by piece, each with the question whether there is anything of it.

An idle node asks ten times a second. So it asks all at once, a statement that was made once, of what indexes lead to;
and a piece that finds nothing takes no turn of the writer's.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import Integer, Select, bindparam, or_, select

from tallystick_consent.receipts.states import ASKED, IN_FORCE
from tallystick_node.flows.claims.asks import settle_asks
from tallystick_node.flows.claims.issuing import expire_claims
from tallystick_node.flows.claims.made_good import answer_planned
from tallystick_node.flows.links.ending import UNCONFIRMED_LIFE_S, expire_links, left_over
from tallystick_node.flows.receipts.bounds import REQUEST_LIFE_S
from tallystick_node.flows.receipts.duties import discharge_due
from tallystick_node.flows.receipts.stopping import end_settling, expire_receipts, pause_unconfirmed
from tallystick_node.flows.receipts.versions import expire_versions
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import ASKS, CLAIMS, DUTIES, LINKS, MADE_GOOD, RECEIPT_VERSIONS, RECEIPTS
from tallystick_node.storage.tables.base import written

Piece: TypeAlias = Callable[[Transaction], object]
"""Ends what of one kind is over, in a write of its own."""


def pieces(node: Node, *, rows_max: int) -> dict[str, Piece]:
    """Return every piece by its name, in the order in which they are done.

    Args:
        node: whose rows they end.
        rows_max: how many rows a piece takes at most; the rest is left for the next time.
    """
    return {
        "links": partial(expire_links, node),
        "receipts": partial(expire_receipts, rows_max=rows_max),
        "versions": partial(expire_versions, rows_max=rows_max),
        "confirmations": partial(pause_unconfirmed, node, rows_max=rows_max),
        "claims": partial(expire_claims, node, rows_max=rows_max),
        "made_good": partial(answer_planned, node, rows_max=rows_max),
        "settling": partial(end_settling, rows_max=rows_max),
        "duties": partial(discharge_due, rows_max=rows_max),
        "asks": partial(settle_asks, node, rows_max=rows_max),
    }


def due_pieces(node: Node, *, rows_max: int) -> list[Piece]:
    """Return the pieces for which there is something to do now, in their order."""
    (found,) = node.rows(_DUE, {"now_s": node.now_s()})
    return [piece for name, piece in pieces(node, rows_max=rows_max).items() if getattr(found, name)]


def _questions() -> dict[str, tuple[Select[Any], ...]]:
    """Return what each piece looks for; more than that is allowed, less would leave something undone."""
    now_s = bindparam("now_s", type_=Integer)
    unconfirmed = LINKS.c.created_at_s + min(UNCONFIRMED_LIFE_S.values()) <= now_s
    return {
        "links": (
            select(LINKS.c.id).where(LINKS.c.state == written("pending"), unconfirmed),
            select(LINKS.c.id).where(LINKS.c.waits_until_s <= now_s),
            *left_over(now_s),
        ),
        "receipts": (
            select(RECEIPTS.c.id).where(
                RECEIPTS.c.state.in_(written(ASKED)), RECEIPTS.c.requested_at_s + REQUEST_LIFE_S <= now_s
            ),
            select(RECEIPTS.c.id).where(RECEIPTS.c.ended_at_s.is_(None), RECEIPTS.c.valid_until_s <= now_s),
        ),
        "versions": (
            select(RECEIPT_VERSIONS.c.receipt).where(
                RECEIPT_VERSIONS.c.state == "requested", RECEIPT_VERSIONS.c.changed_at_s + REQUEST_LIFE_S <= now_s
            ),
        ),
        "confirmations": (
            select(RECEIPTS.c.id).where(RECEIPTS.c.state.in_(IN_FORCE), RECEIPTS.c.confirm_by_s <= now_s),
        ),
        "claims": (select(CLAIMS.c.digest).where(CLAIMS.c.state == written("issued"), CLAIMS.c.expires_at_s <= now_s),),
        "made_good": (select(MADE_GOOD.c.receipt).where(MADE_GOOD.c.due_s <= now_s),),
        "settling": (select(RECEIPTS.c.id).where(RECEIPTS.c.settles_until_s <= now_s),),
        "duties": (select(DUTIES.c.number).where(DUTIES.c.due_s <= now_s),),
        "asks": (select(ASKS.c.id),),
    }


_DUE = select(*(or_(*(each.exists() for each in asked)).label(name) for name, asked in _questions().items()))
