"""The witness: logs submit checkpoints, anybody reads the one that was cosigned last.

Source: c2sp.org/tlog-witness.
"""

from fastapi import APIRouter, Request, Response

from tallystick_ledger.tlog.witness import SIZE_MEDIA_TYPE, WitnessRefused
from tallystick_node.flows.witnessing import add_checkpoint, last_cosigned
from tallystick_node.problems import problem_of
from tallystick_node.routes.apps import NodeHere

router = APIRouter(prefix="/witness")


@router.post("/add-checkpoint", responses={200: {"content": {"text/plain": {}}}})
async def submit(request: Request, node: NodeHere) -> Response:
    """Cosign a partner's checkpoint, or say in one status why not."""
    try:
        line = await add_checkpoint(node, await request.body())
    except WitnessRefused as error:
        if error.seen_size is not None:
            return Response(f"{error.seen_size}\n", error.status, media_type=SIZE_MEDIA_TYPE)
        problem = problem_of(error, request_id=request.state.request_id).model_copy(update={"status": error.status})
        return Response(problem.model_dump_json(), error.status, media_type="application/problem+json")
    return Response(line, media_type="text/plain; charset=utf-8")


@router.get("/{origin_digest}/checkpoint")
def cosigned(node: NodeHere, origin_digest: str) -> Response:
    """Return the checkpoint that was cosigned last of a log, named by the SHA-256 of its origin in hex."""
    return Response(last_cosigned(node, origin_digest), media_type="text/plain; charset=utf-8")
