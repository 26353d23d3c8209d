"""What stands in front of a company for whoever fetches its public files: it says whatever a test lets it say."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Said = tuple[int, bytes]


class Front:
    """An address that answers GET as it is told, and remembers what was asked.

    Attributes:
        say: takes a path, returns status and content.
        asked: the status lists that were asked for.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.say: Callable[[str], Said] = lambda _path: (404, b"")
        self.asked: list[str] = []


@contextmanager
def front() -> Iterator[Front]:
    """Open an address; it is closed at the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/status/"):
                made.asked.append(self.path)
            status, content = made.say(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Front(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
