"""A witness that stands alone, as a web application."""

import secrets
from collections.abc import Callable

from fastapi import FastAPI

from tallystick_node.app import dress
from tallystick_node.routes.witness import router
from tallystick_node.witness.alone import Witness


def make_witness_app(witness: Witness, *, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> FastAPI:
    """Return the application of a witness, at the top of its address; closed by whoever opened the witness."""
    app = FastAPI(
        title="Tallystick witness",
        version="1",
        telemetry={"tracing": False},
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.witness = witness
    dress(app, random_bytes)
    app.include_router(router)
    app.get("/healthz")(_healthz)
    return app


def _healthz() -> dict[str, str]:
    """Return that the process is up."""
    return {"status": "up"}
