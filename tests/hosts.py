"""Somebody's server, which says what a test wants: a hostile partner, a witness, a proxy before a dead one."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

Reply = tuple[int, bytes]


class Host:
    """Somebody's server at an address.

    Attributes:
        reply: what it answers to a POST with this body.
        shown: what it answers to a GET of any path; 404 where it is empty.
        shown_at: the same by path, before `shown`.
        asked: how many POSTs it got.
    """

    def __init__(self, port: int = 0) -> None:
        """Answer at a port; at a free one, where none is given."""
        self.reply: Callable[[bytes], Reply] = lambda _: (404, b"")
        self.shown = b""
        self.shown_at: dict[str, bytes] = {}
        self.asked = 0
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                host.asked += 1
                self._answer(*host.reply(self.rfile.read(int(self.headers["Content-Length"]))))

            def do_GET(self) -> None:
                shown = host.shown_at.get(self.path, host.shown)
                self._answer(*((200, shown) if shown else (404, b"")))

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response_only(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Watch:
    """A watch that a test turns on."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def __call__(self) -> float:
        return self.at_s


@contextmanager
def dripping(watch: Watch, *, begins: bytes, ends: bytes) -> Iterator[str]:
    """Somebody's server that begins each answer, and ends it once a thousand seconds are over on the watch."""

    def answer(caller: socket.socket) -> None:
        with caller:
            caller.recv(65_536)
            caller.sendall(begins)
            watch.at_s += 1_000
            caller.sendall(ends)

    def serve() -> None:
        while True:
            try:
                caller, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(caller,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
