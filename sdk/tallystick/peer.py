"""Call a partner's node: every request signed, every answer believed only if the partner signed it for this request.

One POST, one attempt: who calls decides when to try again, with the same idempotency key. Which partner it is, its
address and its keys come from its descriptor; the clock, the randomness and the transport are passed in.

Source: CONSTRUCTIONS (Between nodes), docs/protocol.md (For partners).
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from tallystick.core import PROXY_STATUSES, Incoming, malformed
from tallystick.descriptor import Descriptor
from tallystick.errors import NodeUnreachable, ReplyForged, problem_error
from tallystick.reaching import AddressRefused
from tallystick.signing import ClockSkew, sign_request, verify_response
from tallystick.wire import Problem, Reply, Request
from tallystick_ledger.encoding import canonical_json, to_base64url
from tallystick_ledger.errors import SignatureRejected

PEER_REPLY_SIZE_MAX_BYTES = 1024 * 1024
PEER_TIMEOUT_S = 10.0
"""How long a connection, and then each read, may take."""

PEER_DEADLINE_S = 30.0
"""How long one call may take in all."""

NONCE_SIZE_BYTES = 16

_R = TypeVar("_R", bound=Reply)


class PeerClient:
    """One partner, as this node calls it."""

    def __init__(
        self,
        *,
        host: str,
        key_id: str,
        private_key: Ed25519PrivateKey,
        partner: Descriptor,
        http: httpx.AsyncClient,
        now_s: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        deadline_s: float = PEER_DEADLINE_S,
    ) -> None:
        """Call `partner` as `host`.

        Args:
            host: our own name, for the partner's operator to read; what counts is the key.
            key_id: the id of our http key, as our descriptor has it.
            private_key: our http key.
            partner: whom to call, where, and under which keys its answers must verify.
            http: carries the requests; closed by whoever opened it.
            now_s: seconds since 1970-01-01 UTC.
            random_bytes: the system's CSPRNG.
            deadline_s: how long one call may take in all.
        """
        self._host = host
        self._key_id = key_id
        self._private_key = private_key
        self._partner = partner
        self._http = http
        self._now_s = now_s
        self._random_bytes = random_bytes
        self._deadline_s = deadline_s

    async def post(self, path: str, body: Request, *, idempotency_key: str, reply: type[_R]) -> _R:
        """Return the partner's answer, once its signature over it is checked.

        Args:
            path: from `/peer/v1/` on; the partner's own address comes before it.
            body: what to send, as canonical JSON.
            idempotency_key: 1 to 128 visible ASCII characters; the same for every attempt at one thing.
            reply: the form that the answer must have.

        Raises:
            NodeUnreachable: no answer came, or a proxy said that none would.
            NodeProblem: the partner answered with a problem, and signed it; which class says what to do.
            ReplyForged: the answer is not signed by the partner for this request, or not of its form.
            BadInput: the request itself cannot be signed or sent.
        """
        assert path.startswith("/peer/v1/"), "partners call nothing else of each other"
        url, raw = self._partner.url + path, canonical_json(body.model_dump(mode="json"))
        signed = sign_request(
            method="POST",
            url=url,
            body=raw,
            idempotency_key=idempotency_key,
            key_id=self._key_id,
            private_key=self._private_key,
            now_s=self._now_s(),
            nonce=to_base64url(self._random_bytes(NONCE_SIZE_BYTES)),
        )
        status, headers, answer = await self._exchange(url, raw, signed)
        self._require_signed(status, headers, answer, signed)
        return _read(status, answer, reply)

    async def _exchange(self, url: str, raw: bytes, signed: dict[str, str]) -> tuple[int, httpx.Headers, bytes]:
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, application/problem+json",
            "Accept-Encoding": "identity",
            "User-Agent": f"tallystick ({self._host})",
            **signed,
        }
        try:
            async with (
                asyncio.timeout(self._deadline_s),
                self._http.stream(
                    "POST", url, content=raw, headers=headers, timeout=PEER_TIMEOUT_S, follow_redirects=False
                ) as response,
            ):
                incoming = Incoming(response.headers, size_max_bytes=PEER_REPLY_SIZE_MAX_BYTES)
                async for chunk in response.aiter_bytes():
                    incoming.add(chunk)
        except (httpx.TransportError, httpx.InvalidURL, TimeoutError) as error:
            if isinstance(error.__cause__, AddressRefused):
                raise _refused_address() from error
            raise _unreachable("No answer came from a partner's node.") from error
        return response.status_code, response.headers, incoming.body()

    def _require_signed(self, status: int, headers: httpx.Headers, answer: bytes, signed: dict[str, str]) -> None:
        if status in PROXY_STATUSES and "signature" not in headers:
            raise _unreachable("Only a proxy in front of a partner's node answered.")
        try:
            verify_response(
                status=status,
                headers=headers,
                body=answer,
                request_headers=signed,
                keys=self._partner.ed25519("http"),
                now_s=self._now_s(),
            )
        except ClockSkew as error:
            raise ReplyForged(
                "A partner's answer is signed for another time.", remedy="Compare the two clocks.", code=error.code
            ) from error
        except SignatureRejected as error:
            raise ReplyForged(
                "An answer is not signed by the partner that was asked.",
                remedy="Ask the partner for its current descriptor, and whether a proxy changes what it answers.",
            ) from error


def _read(status: int, answer: bytes, reply: type[_R]) -> _R:
    """Read an answer that is known to be the partner's; its status is signed, its content type is not."""
    if not (200 <= status < 300 or status >= 400):
        raise malformed("A partner's answer is a redirect or none at all.")
    try:
        if status >= 400:
            told = Problem.model_validate_json(answer)
            raise problem_error(told.model_copy(update={"status": status}))
        return reply.model_validate_json(answer)
    except ValidationError:
        # Not chained: what a validation error quotes may be a person's.
        raise malformed("A partner's answer does not have the form it must have.") from None


def _refused_address() -> NodeUnreachable:
    return NodeUnreachable(
        "The name of a partner's node leads to an address that may not be reached from here.",
        remedy="Ask the partner for its address; where it is in a network of yours, set private_networks.",
        code="address_refused",
    )


def _unreachable(problem: str) -> NodeUnreachable:
    return NodeUnreachable(
        problem, remedy="Send it again later, with the same idempotency key.", code="peer_unavailable"
    )
