"""Serve an application over HTTP until the process is told to stop."""

import signal
import socket
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from tallystick_node.errors import SettingsInvalid

DRAIN_S = 10
"""How long requests that were begun may take to end."""


def serve(app: FastAPI, bind: str) -> None:
    """Serve at `bind`, `ADDRESS:PORT`; return after an interrupt or SIGTERM, once what was begun is finished.

    Raises:
        SettingsInvalid: nothing can listen there, such as where something else does.
    """
    address, _, port = bind.rpartition(":")
    _require_free(address.strip("[]"), int(port))
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


def _require_free(address: str, port: int) -> None:
    """Refuse a place that cannot be listened at; uvicorn would end the process with a number alone."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as uvicorn does: what just ended is no obstacle
            probe.bind(place)
    except OSError as error:
        raise SettingsInvalid(
            f"Nothing can listen at {address}:{port}: {error.strerror}.",
            remedy="Stop what listens there, or name another place: --bind ADDRESS:PORT, or `bind` in the settings.",
        ) from error
