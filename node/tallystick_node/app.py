"""The node as a web application: wiring, request ids, problems, and the node's own work beside the requests.

Native tracing is off: its spans would carry paths, and would continue a caller's trace across companies.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tallystick.reaching import AsyncTransport
from tallystick.wire import REQUEST_SIZE_MAX_BYTES, Problem
from tallystick_ledger.encoding import new_id
from tallystick_ledger.errors import TallyError
from tallystick_node.errors import KeyInvalid
from tallystick_node.flows.claims.fetching import StatusFetches
from tallystick_node.flows.logs.witnessing import NodeWitness
from tallystick_node.jobs import Jobs
from tallystick_node.node import Node
from tallystick_node.problems import invalid_form, make_problem, problem_headers, problem_of
from tallystick_node.routes import apps, peers, people, proofs, public, receipts, witness

PEER_CONNECTIONS_MAX = 64

LOG_READERS_MAX = 16
"""How many files of the published log are read at once: where its store is slow, whoever reads waits for that alone."""

log = logging.getLogger(__name__)


def _transport(node: Node) -> AsyncTransport:
    return AsyncTransport(node.settings.may_reach, connections_max=PEER_CONNECTIONS_MAX)


def make_app(node: Node, *, works_by_itself: bool = True) -> FastAPI:
    """Return the application of a node.

    Args:
        node: closed by whoever opened it.
        works_by_itself: whether periods close, messages leave and heads are published without being told; a test
            that steps through time does that itself, with `app.state.jobs`.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with httpx.AsyncClient(transport=node.transport or _transport(node), trust_env=False) as http:
            app.state.http = http
            app.state.jobs = Jobs(node, http)
            app.state.status_fetches = StatusFetches(node)
            app.state.log_readers = ThreadPoolExecutor(LOG_READERS_MAX, thread_name_prefix="log-reader")
            await app.state.jobs.begin()
            work = asyncio.create_task(app.state.jobs.run()) if works_by_itself else None
            yield
            if work is not None:
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await work
            app.state.log_readers.shutdown(wait=False, cancel_futures=True)
            app.state.status_fetches.close()
            app.state.jobs.close()

    app = FastAPI(
        title="Tallystick node",
        version="1",
        lifespan=lifespan,
        telemetry={"tracing": False},
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.node = node
    app.state.witness = NodeWitness(node)
    dress(app, node.random_bytes)
    app.include_router(witness.router, prefix="/witness")
    for router in (apps.router, receipts.router, people.router, proofs.router, peers.router, public.router):
        # As they are: `include_router` would make each route once more, with all its forms, under the first request.
        app.router.routes.extend(router.routes)
    return app


def dress(app: FastAPI, random_bytes: Callable[[int], bytes]) -> None:
    """Give an application what every one of ours has: request ids, bounded bodies, and problems for answers.

    Args:
        app: before its first request.
        random_bytes: makes the ids.
    """
    app.add_middleware(_Bounded)
    app.add_middleware(_Named, random_bytes=random_bytes)
    app.add_exception_handler(TallyError, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_failure)


class _Bounded:
    """Lets no body of more than `REQUEST_SIZE_MAX_BYTES` in; one that says so in advance is refused unread.

    FastAPI's own bound answers some requests in plain text; this refusal is a problem like every other.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, its body bounded."""
        told = dict[bytes, bytes](scope.get("headers", ())).get(b"content-length", b"")
        told_bytes, read_bytes = int(told) if told.isdigit() else 0, 0

        async def bounded() -> Message:
            nonlocal read_bytes
            _require_bounded(told_bytes)
            message = await receive()
            read_bytes += len(message.get("body", b""))
            _require_bounded(read_bytes)
            return message

        await self._app(scope, bounded, send)


def _require_bounded(size_bytes: int) -> None:
    if size_bytes > REQUEST_SIZE_MAX_BYTES:
        raise HTTPException(413)


class _Named:
    """Gives each request an id, and says it in the answer.

    On ASGI itself: Starlette's middleware of functions would start a task and open two streams for each request.
    """

    def __init__(self, app: ASGIApp, random_bytes: Callable[[int], bytes]) -> None:
        self._app = app
        self._random_bytes = random_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with its id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        request.state.request_id = request_id = new_id("req", self._random_bytes(16))

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        # Nothing has a name with a NUL in it, and PostgreSQL could not even be asked for one.
        nameless = "\0" in scope["path"]
        app = await _on_http(request, HTTPException(404)) if nameless else self._app
        await app(scope, receive, named)


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, TallyError), "registered for this class"
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, KeyInvalid) else None
    return _answer(problem_of(error, request_id=_request_id(request)), headers)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for this class"
    return _answer(invalid_form(error.errors(), request_id=_request_id(request)))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for this class"
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    return _answer(
        make_problem(
            error.status_code,
            codes.get(error.status_code, "invalid_input"),
            "The request cannot be taken as it came.",
            "Compare the path, the method and the size with the protocol.",
            request_id=_request_id(request),
        ),
        error.headers,
    )


async def _on_failure(request: Request, _error: Exception) -> Response:
    # The server logs the traceback; the caller gets the id to ask about, and nothing else.
    return _answer(
        make_problem(
            500,
            "internal_error",
            "The node failed; whether anything was written is unknown.",
            "Try again with the same idempotency key, and tell the operator the request id.",
            request_id=_request_id(request),
        )
    )


def _request_id(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))


def _answer(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(
        problem.model_dump(mode="json", exclude_none=True),
        problem.status,
        {"X-Request-Id": problem.request_id, **problem_headers(problem), **(headers or {})},
        media_type="application/problem+json",
    )
