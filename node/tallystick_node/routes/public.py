"""What everybody may read: who this node is, its published log, and whether it is up.

Entry bundles are for auditors with a key; each read of one is recorded.
"""

import asyncio
from functools import partial

from fastapi import APIRouter, Request, Response
from sqlalchemy import select

from tallystick_consent.claims.status_list import STATUS_MEDIA_TYPE
from tallystick_ledger.errors import BadInput, TileMalformed
from tallystick_ledger.tlog.tiles import CHECKPOINT, BundlePath, parse_path
from tallystick_node.clock import CLOCK_BACK_MAX_S, steady_s
from tallystick_node.errors import NotReady, ScopeMissing, log_read_only, no_such_thing
from tallystick_node.flows.app_keys import find_app, record_read
from tallystick_node.flows.claims.status import published_list
from tallystick_node.flows.logs.descriptors import require_taken, take_descriptor
from tallystick_node.log.cosigning import Publication
from tallystick_node.node import Node
from tallystick_node.routes.callers import NodeHere
from tallystick_node.statuses import SIGNED_AGAIN_AFTER_S
from tallystick_node.storage.tables import HEADS, PARTNERS

router = APIRouter()

CHECKPOINT_HEADERS = {"Cache-Control": "max-age=2"}
TILE_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable"}
STATUS_HEADERS = {"Cache-Control": f"public, max-age={SIGNED_AGAIN_AFTER_S}"}
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


@router.get("/status/{name}")
def status_list(node: NodeHere, name: str) -> Response:
    """Return a status list; whoever reads it does not say which claim it is about."""
    return Response(published_list(node, name), headers=STATUS_HEADERS, media_type=STATUS_MEDIA_TYPE)


@router.get("/log/{year}/{path:path}")
async def published(request: Request, node: NodeHere, year: str, path: str) -> Response:
    """Return a file of a published log: this year's, or one that it goes on from."""
    shard = node.shards.named(year)
    if shard is None:
        raise no_such_thing()
    if path == CHECKPOINT:
        return _file(shard.publisher.file(path), "text/plain; charset=utf-8", CHECKPOINT_HEADERS)  # from memory
    try:
        tile = parse_path(path)
    except TileMalformed as error:
        raise no_such_thing() from error
    is_bundle = isinstance(tile, BundlePath)
    if is_bundle:
        await _record_read(request, node, f"{year}/{path}")
    # In threads of its own: a store that is slow, or away, takes none that anything else of the node needs.
    readers = request.app.state.log_readers
    content = await asyncio.get_running_loop().run_in_executor(readers, shard.publisher.file, path)
    return _file(content, "application/octet-stream", BUNDLE_HEADERS if is_bundle else TILE_HEADERS)


async def _record_read(request: Request, node: Node, path: str) -> None:
    """Let auditors pass, and write down what they read before they read it."""
    app = await asyncio.to_thread(find_app, node, request.headers.get("authorization", ""))
    if "audit:read" not in app.scopes:
        raise ScopeMissing("Entry bundles are for auditors.", remedy="Use a key with the scope audit:read.")

    await node.written(partial(record_read, app=app.id, what=path), even_read_only=True)


def _file(content: bytes | None, media_type: str, headers: dict[str, str]) -> Response:
    if content is None:
        raise no_such_thing()
    return Response(content, headers=headers, media_type=media_type)


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Return that the process is up."""
    return {"status": "up"}


@router.get("/readyz")
def readyz(node: NodeHere) -> dict[str, str]:
    """Return that the database answers and a head is published; how publication stands with its witnesses, and what
    an operator should look at, if anything.

    Raises:
        NotReady: no head is published yet, and the log may be written.
        ClockBehind: every write is refused, since the clock is behind the log.
    """
    head = node.row(select(HEADS.c.last_at_s).where(HEADS.c.successor.is_(None)))
    is_read_only = node.standing.is_read_only  # a node that was restored may be before it has published anything
    if head is None or (node.publisher.published_size == 0 and not is_read_only):
        raise NotReady(
            "No head of the log is published yet.",
            remedy="Wait a moment. Where it stays so, the node's own log says what the first head waits for.",
        )
    cosigners = node.shards.current.cosigners
    told = {
        "status": "ready",
        "publication": Publication.NOT_WITNESSED if cosigners is None else cosigners.publication,
        "evidence": "kept" if node.evidence.count else "none",
    }
    if is_read_only:
        told |= {"status": "read_only", "log": node.shards.current.own.origin, "remedy": log_read_only().remedy}
    else:
        steady_s(node.now_s(), head.last_at_s)
    if node.standing.silent:
        told["not_asked"] = ", ".join(node.standing.silent)
    if missed := node.missed.told():
        told["logs_missed"] = missed
    ahead_s = node.standing.clock_ahead_s()
    return told if abs(ahead_s) <= CLOCK_BACK_MAX_S else {**told, "clock_ahead_s": str(ahead_s)}
