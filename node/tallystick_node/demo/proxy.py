"""The public address of a node: a proxy that passes everything on as it came, and keeps a copy.

A node's `url` is not its `bind`, so no node knows of it. Where the node behind it is down it answers 502, as any proxy
does, and signs nothing.

Source: accept/README (wire.jsonl).
"""

import base64
import http.client
import json
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TIMEOUT_S = 30.0
"""How long a connection may keep either side waiting."""

REQUEST_SIZE_MAX_BYTES = 1024 * 1024
"""A little more than any node takes, so that what it refuses is refused by it."""

LOOPBACK = "127.0.0.1"
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_KEY_ID = re.compile(r'keyid="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request between partners and its answer, as they crossed."""

    sender: str
    receiver: str
    method: str
    path: str
    status: int
    request_headers: Mapping[str, str]
    response_headers: Mapping[str, str]
    request: bytes
    response: bytes

    @property
    def is_public(self) -> bool:
        """Whether it is about what anybody may read: the published log, and who cosigned its heads."""
        return self.path.startswith(("/log/", "/witness/"))

    def document(self) -> dict[str, Any]:
        """Return the exchange as a line of wire.jsonl."""
        return {
            "from": self.sender,
            "to": self.receiver,
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "request_headers": dict(self.request_headers),
            "response_headers": dict(self.response_headers),
            "request_b64": base64.b64encode(self.request).decode(),
            "response_b64": base64.b64encode(self.response).decode(),
        }


class Wire:
    """Everything that crossed, in memory and in a file, in the order in which it was answered."""

    def __init__(self, path: Path) -> None:
        """Write to `path`, a line an exchange."""
        self._file = path.open("w", encoding="utf-8")
        self._lock = threading.Lock()
        self._exchanges: list[Exchange] = []
        self._names: dict[str, str] = {}

    def introduce(self, name: str, *, key_id: str, agent: str) -> None:
        """Know a partner by the key that signs its requests, and by what it calls itself where it signs none."""
        self._names[key_id] = self._names[agent] = name

    def whose(self, request_headers: Mapping[str, str]) -> str:
        """Return whose a request says it is."""
        headers = {name.lower(): text for name, text in request_headers.items()}
        match = _KEY_ID.search(headers.get("signature-input", ""))
        return self._names.get(match[1] if match else headers.get("user-agent", ""), "unknown")

    def add(self, exchange: Exchange) -> None:
        """Keep an exchange, before its answer is passed on."""
        with self._lock:
            self._exchanges.append(exchange)
            if not self._file.closed:
                self._file.write(json.dumps(exchange.document()) + "\n")
                self._file.flush()

    def exchanges(self, *, since: int = 0) -> list[Exchange]:
        """Return the exchanges from a zero-based place on."""
        with self._lock:
            return self._exchanges[since:]

    def messages(self, *, since: int = 0) -> list[Exchange]:
        """Return the exchanges from a place on that are not about what anybody may read."""
        return [each for each in self.exchanges(since=since) if not each.is_public]

    def count(self) -> int:
        """Return how many exchanges there were."""
        with self._lock:
            return len(self._exchanges)

    def close(self) -> None:
        """Finish the file."""
        with self._lock:
            self._file.close()


class RecordingProxy:
    """The public address of one partner."""

    def __init__(self, name: str, *, backend_port: int, wire: Wire) -> None:
        """Listen on a free loopback port, and pass on to `backend_port` what comes for `name`."""
        self._server = _Server(name, backend_port, wire)
        self._thread = threading.Thread(target=self._server.serve_forever, name=f"proxy-{name}", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address that partners are told."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}"

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, name: str, backend_port: int, wire: Wire) -> None:
        self.name = name
        self.backend_port = backend_port
        self.wire = wire
        super().__init__((LOOPBACK, 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_S

    def do_GET(self) -> None:  # the name that http.server calls
        self._pass_on()

    def do_POST(self) -> None:  # the name that http.server calls
        self._pass_on()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
        """Print nothing: what crosses is in the recording."""

    def _pass_on(self) -> None:
        server = self.server
        assert isinstance(server, _Server), "made by it"
        size = self.headers.get("Content-Length", "0")
        if not size.isdecimal() or int(size) > REQUEST_SIZE_MAX_BYTES or "Transfer-Encoding" in self.headers:
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {}, b"")
            return
        body = self.rfile.read(int(size))
        headers = _passed_on(self.headers.items())
        status, answer_headers, answer = self._ask(server.backend_port, headers, body)
        server.wire.add(
            Exchange(
                sender=server.wire.whose(headers),
                receiver=server.name,
                method=self.command,
                path=self.path,
                status=status,
                request_headers=headers,
                response_headers=answer_headers,
                request=body,
                response=answer,
            )
        )
        self._answer(status, answer_headers, answer)

    def _ask(self, port: int, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT_S)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, text in headers.items():
                connection.putheader(name, text)
            connection.putheader("Connection", "close")
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return answer.status, _passed_on(answer.getheaders()), answer.read()
        except (OSError, http.client.HTTPException):
            return HTTPStatus.BAD_GATEWAY, {}, b""
        finally:
            connection.close()

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.close_connection = True
        self.send_response_only(status)
        for name, text in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _passed_on(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers that belong to the message, and not to one connection."""
    passed: dict[str, str] = {}
    for name, text in headers:
        if name.lower() not in _HOP_BY_HOP:
            passed[name] = f"{passed[name]}, {text}" if name in passed else text
    return passed
