"""What calls are made of: where they go, how arguments are checked, and what is said of a reply that proves nothing.

Source: docs/protocol.md (For apps).
"""

import re
from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tallystick.core import Call
from tallystick.verify import Verifier
from tallystick.wire import (
    REQUEST_SIZE_MAX_BYTES,
    Request,
)
from tallystick_ledger.encoding import canonical_json
from tallystick_ledger.errors import BadInput

_M = TypeVar("_M", bound=BaseModel)

_Q = TypeVar("_Q", bound=Request)

SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,80}")


def write_call(
    path: str, body: bytes, reply: type[_M], check: Callable[[_M, Verifier], None], idempotency_key: str | None
) -> Call[_M]:
    """Return a call that changes something, made once under its idempotency key.

    Args:
        path: where it goes.
        body: canonical JSON.
        reply: the shape of what is answered.
        check: raises where a reply does not prove what it must.
        idempotency_key: the caller's own, None to draw one.
    """
    return Call("POST", path, body, reply.model_validate_json, check, writes=True, idempotency_key=idempotency_key)


def search_call(path: str, body: bytes, reply: type[_M], check: Callable[[_M, Verifier], None]) -> Call[_M]:
    """Return a call that only reads, and whose question stands in its body."""
    return Call("POST", path, body, reply.model_validate_json, check)


def get_call(path: str, reply: type[_M], check: Callable[[_M, Verifier], None]) -> Call[_M]:
    """Return a call that only reads, and whose question stands in its path."""
    return Call("GET", path, None, reply.model_validate_json, check)


def body_of(make: Callable[[], Request]) -> bytes:
    """Return a request as canonical JSON.

    Raises:
        BadInput: an argument is not of its form, or the request is too large.
    """
    return encoded(well_formed(make))


def well_formed(make: Callable[[], _Q]) -> _Q:
    """Return what `make` makes of its arguments.

    Raises:
        BadInput: one is not of its form; its value is not repeated.
    """
    try:
        return make()
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)
        places = sorted(
            {"/".join(map(str, each["loc"][:1])) or each["msg"].removeprefix("Value error, ") for each in wrong}
        )
        # Not chained: what a validation error quotes may be a person's.
        raise BadInput(
            f"An argument is not of its form: {', '.join(places)}.",
            remedy=f"Compare it with {error.title} of tallystick.wire.",
        ) from None


def encoded(request: Request) -> bytes:
    """Return a request as canonical JSON.

    Raises:
        BadInput: it is larger than 512 KiB.
    """
    raw = canonical_json(request.model_dump(mode="json"))
    if len(raw) > REQUEST_SIZE_MAX_BYTES:
        raise BadInput("A request is larger than 512 KiB.", remedy="Send less at once.")
    return raw


def segment(text: str) -> str:
    """Return an id or name as it stands in a path.

    Raises:
        BadInput: it is not of its form.
    """
    if not SEGMENT.fullmatch(text):
        raise BadInput("An id or name is not of its form.", remedy="Pass it as the node gave it.")
    return text
