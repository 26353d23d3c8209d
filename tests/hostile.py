"""What a hostile tester needs: requests that no client of ours would send, and a look at everything that must not move.

`nothing_changes` compares every row of every table, the head and the names in custody before and after; only the nonces
of signed requests are left out, since those are kept whatever follows.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from sqlmodel import SQLModel
from town import Company, Membership, Town

from tallystick.signing import sign_request, verify_response
from tallystick.wire import PROBLEM_BASE, Request
from tallystick_node.keys.custody_tables import SECRETS
from tallystick_node.keys.ring import load_keys
from tallystick_node.storage.database import Place, connect, writing
from tallystick_node.storage.tables import HEADS, NONCES

PRIVATE = ("ana-at", "ben-at", "cleo-at", "policy ending", "member since", "club-7", "sk_test")
"""What no refusal may say: subject ids, hints, payload values, keys."""

HTTP = httpx.Client(trust_env=False, timeout=30)


@dataclass
class Scene:
    """A gym, a running track and an insurer that have agreed on a program; Ana, a member of the gym, has consented."""

    story: Town
    gym: Company
    track: Company
    insurer: Company
    ana: Membership


def app(
    company: Company,
    path: str,
    body: object = None,
    *,
    method: str = "POST",
    key: str | None = None,
    once: str | None = "",
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """Call a company's app API as its app does.

    Args:
        key: the app's key; the one with every scope where it is None.
        once: idempotency key; a fresh one where it is "", no header at all where it is None.
        content: the body's bytes, where they are not the JSON of `body`.
        headers: more headers, or others.
    """
    sent = {"Authorization": f"Bearer {key or company.secret}", "Content-Type": "application/json"}
    if once is not None:
        sent["Idempotency-Key"] = once or secrets.token_hex(8)
    raw = content if content is not None else json.dumps(body).encode() if method == "POST" else b""
    return HTTP.request(method, company.url + path, content=raw, headers={**sent, **(headers or {})})


def partner(
    caller: Company,
    to: Company,
    path: str,
    body: Request | Mapping[str, Any] | bytes,
    *,
    once: str | None = None,
    at_s: int | None = None,
    nonce: str | None = None,
    key: Ed25519PrivateKey | None = None,
    key_id: str | None = None,
    signed_path: str | None = None,
) -> httpx.Response:
    """Call a partner with a company's own keys, as whoever runs that company could; its answer's signature is checked.

    Args:
        once: idempotency key; a fresh one where it is None.
        at_s: when it says it was signed; now, where it is None.
        key, key_id: another key, or another name for it, than the caller's.
        signed_path: what the signature covers, where that is not `path`.
    """
    raw = raw_of(body)
    headers = signed_headers(
        caller, to, signed_path or path, raw, once=once, at_s=at_s, nonce=nonce, key=key, key_id=key_id
    )
    return deliver(to, path, raw, headers)


def raw_of(body: Request | Mapping[str, Any] | bytes) -> bytes:
    """Return the bytes of a body."""
    if isinstance(body, bytes):
        return body
    return json.dumps(body.model_dump(mode="json") if isinstance(body, Request) else body).encode()


def signed_headers(
    caller: Company,
    to: Company,
    path: str,
    raw: bytes,
    *,
    once: str | None = None,
    at_s: int | None = None,
    nonce: str | None = None,
    key: Ed25519PrivateKey | None = None,
    key_id: str | None = None,
) -> dict[str, str]:
    """Return the headers of a signed request."""
    keys = load_keys(caller.folder / "keys")
    return sign_request(
        method="POST",
        url=to.url + path,
        body=raw,
        idempotency_key=once or secrets.token_hex(8),
        key_id=key_id or keys.id("http"),
        private_key=key or keys.ed25519("http"),
        now_s=caller.clock.at_s if at_s is None else at_s,
        nonce=nonce or secrets.token_urlsafe(16),
    )


def deliver(to: Company, path: str, raw: bytes, headers: Mapping[str, str]) -> httpx.Response:
    """Send what is signed already; whoever the node takes for a partner gets an answer that is signed as well."""
    sent = {"Content-Type": "application/json", **headers}
    response = HTTP.post(to.url + path, content=raw, headers=sent)
    if "signature" in response.headers:
        verify_response(
            status=response.status_code,
            headers=response.headers,
            body=response.content,
            request_headers=sent,
            keys={to.keys.id("http"): to.keys.ed25519("http").public_key()},
            now_s=to.clock.at_s,
        )
    return response


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Return a problem, once it is seen to be the one expected, whole, and silent about people."""
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), (
        response.text
    )
    told: dict[str, Any] = response.json()
    assert told["code"] == code, told
    assert told["type"] == PROBLEM_BASE + code
    assert told["status"] == status
    assert told["title"]
    assert told["detail"]
    assert told["remedy"]
    assert told["request_id"] == response.headers["x-request-id"]
    assert told["retryable"] is (status == 503)
    assert response.headers.get("retry-after") == ("2" if status == 503 else None)
    said = response.text + str(response.headers)
    assert not [word for word in PRIVATE if word in said], said
    return told


def said_of(response: httpx.Response) -> tuple[int, list[str], bytes]:
    """Return what a caller can compare of two answers: all but the request's own id, and what a signature covers."""
    told = response.headers.get("x-request-id", "?")
    return response.status_code, sorted(response.headers), response.content.replace(told.encode(), b"")


@contextmanager
def nothing_changes(*companies: Company) -> Iterator[None]:
    """See that what happens here changes nothing in these companies: no row, no entry, no secret."""
    before = [everything(company) for company in companies]
    yield
    for company, was in zip(companies, before, strict=True):
        now = everything(company)
        assert [name for name in was if was[name] != now[name]] == [], f"{company.host} has changed"


def everything(company: Company) -> dict[str, list[Any]]:
    """Return every row of every table but the nonces, and the names of the secrets in custody."""
    tables = {
        name: [tuple(row) for row in company.node.rows(select(table))]
        for name, table in SQLModel.metadata.tables.items()
        if table is not NONCES
    }
    with company.node.custody.engine.connect() as custody:
        names = custody.execute(select(SECRETS.c.name).order_by(SECRETS.c.name)).scalars().all()
        return {**tables, "custody": list(names)}


def log_size(company: Company) -> int:
    """Return how many entries a company's log has."""
    row = company.node.row(select(HEADS.c.size))
    assert row is not None, "a log has an opening"
    return int(row.size)


@contextmanager
def locked(*places: Place) -> Iterator[None]:
    """Hold databases so that nobody else can write."""
    with ExitStack() as stack:
        for place in places:
            engine = connect(place)
            stack.callback(engine.dispose)
            stack.enter_context(writing(engine).begin())
        yield
