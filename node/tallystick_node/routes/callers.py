"""Who calls the app API, with which scopes, and how a write of theirs happens once: what all its routes share."""

import hashlib
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response

from tallystick import wire
from tallystick_ledger.encoding import canonical_json
from tallystick_node.errors import IdempotencyMissing, ScopeMissing
from tallystick_node.flows.app_keys import App, find_app
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.node import Node


def node_of(request: Request) -> Node:
    """Return the node that this process runs."""
    node: Node = request.app.state.node
    return node


NodeHere = Annotated[Node, Depends(node_of)]


def require(*scopes: wire.Scope) -> Callable[[Request, NodeHere], App]:
    """Return the dependency that lets only apps with all these scopes pass."""

    def check(request: Request, node: NodeHere) -> App:
        app = find_app(node, request.headers.get("authorization", ""))
        if not app.scopes.issuperset(scopes):
            raise ScopeMissing(
                "This key may not do that.", remedy=f"Use a key with the scopes {', '.join(scopes) or 'it needs'}."
            )
        return app

    return check


def once_of(request: Request, app: App, body: wire.Request) -> Once:
    """Return what makes a write of this request happen once.

    Raises:
        IdempotencyMissing: no key, or not one of 1 to 128 visible ASCII characters.
    """
    key = request.headers.get("idempotency-key", "")
    if not 1 <= len(key) <= wire.IDEMPOTENCY_KEY_MAX_CHARS or not all("!" <= each <= "~" for each in key):
        raise IdempotencyMissing(
            "A write needs an idempotency key of 1 to 128 visible ASCII characters.",
            remedy="Send a new random Idempotency-Key with each new write, and the same one when you try it again.",
        )
    content = canonical_json(body.model_dump(mode="json"))
    named = canonical_json([request.method, request.url.path, app.id])
    return Once(f"app:{app.id}", key, hashlib.sha256(named + b"\n" + content).hexdigest())


def answer(reply: StoredReply) -> Response:
    """Return a stored reply as it is sent."""
    headers = {"Idempotency-Replayed": "true"} if reply.replayed else {}
    return Response(reply.body, reply.status, headers, media_type="application/json")


def writes(model: type[wire.Reply], status: int = 200) -> dict[str, Any]:
    """Return how a write is described: its reply is stored text, so the model only documents it."""
    return {"response_model": None, "status_code": status, "responses": {status: {"model": model}}}


PageLimit = Annotated[int, Query(ge=1, le=wire.PAGE_SIZE_MAX)]
PageCursor = Annotated[str | None, Query(max_length=wire.CURSOR_SIZE_MAX_CHARS)]

LinksApp = Annotated[App, Depends(require("links:write"))]
ReceiptsReader = Annotated[App, Depends(require("receipts:read"))]
ReceiptsApp = Annotated[App, Depends(require("receipts:write"))]
ReceiptsSubjectApp = Annotated[App, Depends(require("receipts:write", "subject:assert"))]
