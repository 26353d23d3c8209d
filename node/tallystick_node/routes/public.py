"""What everybody may read: who this node is, its published log, and whether it is up.

Entry bundles are for auditors with a key; each read of one is recorded.
"""

import asyncio
from functools import partial

from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from tallystick_ledger.errors import BadInput, TileMalformed
from tallystick_ledger.tlog.tiles import BundlePath, parse_path
from tallystick_node.cosigning import Standing
from tallystick_node.errors import ScopeMissing
from tallystick_node.flows.descriptors import require_taken, take_descriptor
from tallystick_node.node import Node, no_such_thing
from tallystick_node.publisher import CHECKPOINT
from tallystick_node.routes.apps import NodeHere, find_app, record_read
from tallystick_node.tables import HEADS, PARTNERS

router = APIRouter()

CHECKPOINT_HEADERS = {"Cache-Control": "max-age=2"}
TILE_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable"}
BUNDLE_HEADERS = {"Cache-Control": "private, no-store"}


@router.get("/.well-known/tallystick")
def descriptor(node: NodeHere) -> Response:
    """Return the node's signed descriptor."""
    return Response(node.descriptor(), media_type="application/jwt")


@router.post("/.well-known/tallystick", status_code=204, include_in_schema=False)
async def receive_descriptor(request: Request, node: NodeHere) -> Response:
    """Take a partner's newer descriptor, whoever brings it: its identity key has signed it."""
    content = await request.body()
    try:
        token = content.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise BadInput("A descriptor is not ASCII.", remedy="Send the compact JWS alone.") from error
    # Looked at before the writer is troubled with it, since anybody may call this.
    if await asyncio.to_thread(lambda: require_taken(node.rows(select(PARTNERS)), token)) is not None:
        await node.written(lambda transaction: take_descriptor(transaction, token))
    return Response(status_code=204)


@router.get("/log/{year}/{path:path}")
async def published(request: Request, node: NodeHere, year: int, path: str) -> Response:
    """Return a file of the published log."""
    if year != node.settings.log_year:
        raise no_such_thing()
    if path == CHECKPOINT:
        return _file(node, path, "text/plain; charset=utf-8", CHECKPOINT_HEADERS)
    try:
        tile = parse_path(path)
    except TileMalformed as error:
        raise no_such_thing() from error
    if not isinstance(tile, BundlePath):
        return _file(node, path, "application/octet-stream", TILE_HEADERS)
    await _record_read(request, node, path)
    return _file(node, path, "application/octet-stream", BUNDLE_HEADERS)


async def _record_read(request: Request, node: Node, path: str) -> None:
    """Let auditors pass, and write down what they read before they read it."""
    app = await asyncio.to_thread(find_app, node, request.headers.get("authorization", ""))
    if "audit:read" not in app.scopes:
        raise ScopeMissing("Entry bundles are for auditors.", remedy="Use a key with the scope audit:read.")

    await node.written(partial(record_read, app=app.id, what=path))


def _file(node: Node, path: str, media_type: str, headers: dict[str, str]) -> Response:
    content = node.publisher.file(path)
    if content is None:
        raise no_such_thing()
    return Response(content, headers=headers, media_type=media_type)


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Return that the process is up."""
    return {"status": "up"}


@router.get("/readyz")
def readyz(node: NodeHere) -> dict[str, str]:
    """Return that the database answers and a head is published, and how publication stands with its witnesses."""
    if node.row(select(HEADS.c.size)) is None or node.publisher.published_size == 0:
        raise no_such_thing()
    publication = Standing.NOT_WITNESSED if node.cosigners is None else node.cosigners.standing
    evidence = "kept" if node.evidence.count else "none"
    return {"status": "ready", "publication": publication, "evidence": evidence}
