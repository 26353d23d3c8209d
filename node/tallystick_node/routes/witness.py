"""The witness over HTTP: logs submit checkpoints, anybody reads the one that was cosigned last.

One set of routes for a node that witnesses its partners and for a witness that stands alone; whose it is, the
application's state says.

Source: c2sp.org/tlog-witness.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Protocol, cast

from fastapi import APIRouter, Depends, Request, Response

from tallystick_ledger.tlog.witness import SIZE_MEDIA_TYPE, WitnessRefused
from tallystick_node.problems import problem_of

BODY_TIMEOUT_S = 10.0
"""How long a request may take to arrive."""

TEXT = "text/plain; charset=utf-8"


class Witnessing(Protocol):
    """What stands behind the routes."""

    async def add_checkpoint(self, raw: bytes) -> bytes:
        """Return the witness's lines for the checkpoint in a request, once they are remembered durably.

        Raises:
            WitnessRefused: with the status that c2sp.org/tlog-witness gives the case.
        """
        ...

    async def sign_subtree(self, raw: bytes) -> bytes:
        """Return the witness's line for the part of a tree in a request.

        Raises:
            WitnessRefused: with the status that c2sp.org/tlog-witness gives the case.
        """
        ...

    async def last_cosigned(self, origin_digest: str) -> bytes:
        """Return the checkpoint of a log that was cosigned last.

        Raises:
            NotFound: none ever was.
        """
        ...

    async def last_seen(self, origin_digest: str) -> bytes:
        """Return the largest head of a log that is known here, cosigned or not, as the log signed it.

        Raises:
            NotFound: none is.
        """
        ...


def _witness_of(request: Request) -> Witnessing:
    return cast("Witnessing", request.app.state.witness)


WitnessHere = Annotated[Witnessing, Depends(_witness_of)]

router = APIRouter()


@router.post("/add-checkpoint", responses={200: {"content": {"text/plain": {}}}})
async def add_checkpoint(request: Request, witness: WitnessHere) -> Response:
    """Cosign a log's checkpoint, or say in one status why not."""
    return await _answered(request, witness.add_checkpoint)


@router.post("/sign-subtree", responses={200: {"content": {"text/plain": {}}}})
async def sign_subtree(request: Request, witness: WitnessHere) -> Response:
    """Sign a part of a tree that this witness cosigned whole, or say in one status why not."""
    return await _answered(request, witness.sign_subtree)


@router.get("/{origin_digest}/checkpoint")
async def last_cosigned(witness: WitnessHere, origin_digest: str) -> Response:
    """Return the checkpoint that was cosigned last of a log, named by the SHA-256 of its origin in hex."""
    return Response(await witness.last_cosigned(origin_digest), media_type=TEXT)


@router.get("/{origin_digest}/seen")
async def last_seen(witness: WitnessHere, origin_digest: str) -> Response:
    """Return the largest head of a log that is known here, also by following it: for that log, before it goes on."""
    return Response(await witness.last_seen(origin_digest), media_type=TEXT)


async def _answered(request: Request, answer: Callable[[bytes], Awaitable[bytes]]) -> Response:
    try:
        return Response(await answer(await _body(request)), media_type=TEXT)
    except WitnessRefused as error:
        if error.seen_size is not None:
            return Response(f"{error.seen_size}\n", error.status, media_type=SIZE_MEDIA_TYPE)
        problem = problem_of(error, request_id=request.state.request_id).model_copy(update={"status": error.status})
        return Response(problem.model_dump_json(), error.status, media_type="application/problem+json")


async def _body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.body()
    except TimeoutError as error:
        raise WitnessRefused(400, "The request did not arrive in time.") from error
