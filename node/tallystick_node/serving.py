"""Serve an application over HTTP until the process is told to stop."""

import signal
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

DRAIN_S = 10
"""How long requests that were begun may take to end."""


def serve(app: FastAPI, bind: str) -> None:
    """Serve at `bind`, `ADDRESS:PORT`; return after an interrupt or SIGTERM, once what was begun is finished."""
    address, _, port = bind.rpartition(":")
    # uvicorn finishes what it has begun and then raises the signal again: as an interrupt, so that we can close.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        # No access log: what is asked of whom is in the ledger, and nowhere else.
        uvicorn.run(
            app,
            host=address.strip("[]"),
            port=int(port),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_S,
        )
