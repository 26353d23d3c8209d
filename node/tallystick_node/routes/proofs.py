"""Proofs against the published head: `/v1/proofs`, for this company's own apps and auditors.

Entries are for auditors, and each read of one is recorded before it is answered; what is refused is not read. Hashes
are public as the tiles are: any key of this node opens them, so that whoever asks can be told from a flood.
"""

import asyncio
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends

from tallystick import wire
from tallystick_node.errors import no_such_thing
from tallystick_node.flows.app_keys import App, record_read
from tallystick_node.routes.callers import NodeHere, require

router = APIRouter(prefix="/v1/proofs")

Anyone = Annotated[App, Depends(require())]
Auditor = Annotated[App, Depends(require("audit:read"))]


@router.get("/{index}")
async def prove_entry(node: NodeHere, app: Auditor, index: int) -> wire.EntryProof:
    """Return an entry with its proof against the published head."""
    proven = await asyncio.to_thread(node.proofs.entry, index)
    if proven is None:
        raise no_such_thing()
    await node.written(partial(record_read, app=app.id, what=f"entry {index}"), even_read_only=True)
    return proven


@router.post("/entries")
async def prove_entries(node: NodeHere, app: Auditor, body: wire.FindInclusions) -> wire.Inclusions:
    """Return several entries, each with its proof, under one head."""
    proven = await asyncio.to_thread(node.proofs.inclusions, body.indexes, with_entries=True)
    await node.written(
        partial(record_read, app=app.id, what=f"entries {','.join(map(str, body.indexes))}"), even_read_only=True
    )
    return proven


@router.post("/range")
async def prove_range(node: NodeHere, app: Auditor, body: wire.FindRange) -> wire.EntryRange:
    """Return entries that stand side by side, with one proof for all of them."""
    proven = await asyncio.to_thread(node.proofs.range, body.start, body.end)
    await node.written(
        partial(record_read, app=app.id, what=f"entries {body.start} to {body.end - 1}"), even_read_only=True
    )
    return proven


@router.post("/inclusion")
def prove_inclusion(node: NodeHere, _app: Anyone, body: wire.FindInclusions) -> wire.Inclusions:
    """Return proofs for entries that the caller has."""
    return node.proofs.inclusions(body.indexes, with_entries=False)


@router.post("/consistency")
def prove_consistency(node: NodeHere, _app: Anyone, body: wire.FindConsistency) -> wire.Consistency:
    """Return the proof that the log at one size is the start of it at another."""
    return node.proofs.consistency(body.old_size, body.new_size)


@router.post("/subtree")
def prove_subtree(node: NodeHere, _app: Anyone, body: wire.FindSubtree) -> wire.SubtreeProof:
    """Return a subtree's hash, and the proof that it stands in the published tree."""
    return node.proofs.subtree(body.start, body.end)
