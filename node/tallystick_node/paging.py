"""Pages of a list: rows in an order of two columns, and where the next page goes on.

A cursor is the place of the last row that was listed, so a walk lists every row once that stays where it is: one that
goes meanwhile is skipped, and none comes twice because another went. Whoever holds a cursor has read that row already.

Source: API section 4 (limit, cursor, has_more, next_cursor).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, tuple_

from tallystick_ledger.encoding import from_base64url, to_base64url
from tallystick_ledger.errors import BadInput
from tallystick_node.errors import no_such_thing
from tallystick_node.node import Node

_PLACE = re.compile(r"([0-9]{1,15})\.([a-z0-9_]{1,64})")
_NUMBER = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of one page, and the cursor of the next; None where this is the last."""

    rows: Sequence[Any]
    next_cursor: str | None

    @property
    def has_more(self) -> bool:
        """Whether there is a next page."""
        return self.next_cursor is not None


def read_page(
    node: Node, query: Select[Any], *, by: tuple[ColumnElement[Any], ColumnElement[Any]], limit: int, cursor: str | None
) -> Page:
    """Return a page of what a query finds, least first.

    Args:
        query: without an order of its own; both columns of `by` are among what it selects.
        by: a whole number, then what no two rows share: an id or a number.
        limit: how many rows at most.
        cursor: `next_cursor` of the page before; None: the first page.

    Raises:
        NotFound: it is not a cursor of this list.
    """
    if cursor is not None:
        query = query.where(tuple_(*by) > tuple_(*_place(cursor, of_number=by[1].type.python_type is int)))
    rows = node.rows(query.order_by(*by).limit(limit + 1))
    if len(rows) <= limit:
        return Page(rows, None)
    last = rows[limit - 1]._mapping
    return Page(rows[:limit], to_base64url(f"{last[by[0]]}.{last[by[1]]}".encode()))


def _place(cursor: str, *, of_number: bool) -> tuple[int, int | str]:
    try:
        text = from_base64url(cursor).decode("ascii")
    except (BadInput, UnicodeDecodeError):
        raise no_such_thing() from None
    found = _PLACE.fullmatch(text)
    if found is None or (of_number and not _NUMBER.fullmatch(found[2])):
        raise no_such_thing()
    return int(found[1]), int(found[2]) if of_number else found[2]
