"""Lists that come in pages: how one is asked for, and where the next begins.

Source: API section 4 (limit, cursor, has_more, next_cursor).
"""

from typing import TypeVar
from urllib.parse import urlencode

from tallystick.calls.base import get_call
from tallystick.core import Call, malformed, unproven
from tallystick.wire import PAGE_SIZE_MAX, Page
from tallystick_ledger.errors import BadInput

PAGES_MAX = 10_000
"""How many pages one walk reads before it takes the node for one that never ends."""

_G = TypeVar("_G", bound=Page)


def page_call(path: str, reply: type[_G], *, limit: int, cursor: str | None) -> Call[_G]:
    """Return the call for a page of a list.

    Args:
        path: of the list, without a query.
        reply: the shape of a page.
        limit: how many at most, 1 to 1000.
        cursor: `next_cursor` of the page before; None: the first page.

    Raises:
        BadInput: no page holds so many.
    """
    if not 1 <= limit <= PAGE_SIZE_MAX:
        raise BadInput("A page holds 1 to 1000.", remedy="Pass a limit within that.")
    query = {"limit": str(limit)} if cursor is None else {"limit": str(limit), "cursor": cursor}
    return get_call(f"{path}?{urlencode(query)}", reply, unproven)


def next_cursor(page: Page, *, cursor: str | None, pages_read: int) -> str | None:
    """Return where the next page begins, None at the end.

    Args:
        page: just read.
        cursor: where it began.
        pages_read: how many were read, this one included.

    Raises:
        ReplyForged: the walk would never end.
    """
    if not page.has_more:
        return None
    if page.next_cursor is None or page.next_cursor == cursor or pages_read >= PAGES_MAX:
        raise malformed("A list of pages does not end.")
    return page.next_cursor
