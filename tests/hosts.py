"""Somebody's server, which says what a test wants: a hostile partner, a witness, a proxy before a dead one."""

import threading
from collections.abc import Callable
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

    def __init__(self) -> None:
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

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
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
