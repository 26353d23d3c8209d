"""The client without its sockets: how a call becomes a request, when it is sent again, and how its reply is read.

Pure: bytes and values in and out; the time that is left and the randomness are passed in. `client` sends what is
made here, once with blocking calls and once with awaited ones, and decides nothing. `calls` says what can be called,
`verify` what makes a reply believable.

Source: API (idempotency, problems, Python SDK), RFC 9110 section 10.2.3 (Retry-After), RFC 9457.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Generic, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from tallystick.descriptor import Descriptor, open_descriptor
from tallystick.errors import NodeUnidentified, NodeUnreachable, ReplyForged, problem_error
from tallystick.verify import HeadMemory, Verifier
from tallystick.wire import IDEMPOTENCY_KEY_MAX_CHARS, Problem
from tallystick_ledger.encoding import ID_SIZE_BYTES, new_id
from tallystick_ledger.errors import BadInput, SignatureRejected, TallyError

REPLY_SIZE_MAX_BYTES = 8 * 1024 * 1024

RETRIES_MAX = 2
"""How often a call is sent again after its first attempt."""

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 8.0
RETRY_AFTER_MAX_S = 30.0
"""The longest wait a node may ask for; where it asks for more, the caller is told instead of kept waiting."""

TIMEOUT_S = 10.0
"""How long a connection, and then each read, may take."""

DEADLINE_S = 60.0
"""How long one call may take in all, its retries and waits included."""

API_KEY_SIZE_MAX_CHARS = 200
DESCRIPTOR_PATH = "/.well-known/tallystick"
DESCRIPTOR_MEDIA_TYPE = "application/jwt"

PROXY_STATUSES = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
"""What a proxy answers when the node behind it is down; a node itself sends a problem with it."""

RETRY_STATUSES = PROXY_STATUSES | {HTTPStatus.TOO_MANY_REQUESTS}
IN_FLIGHT = "in_flight"
"""Code of a 409 that says the first attempt with this idempotency key is still running."""

RandomBytes: TypeAlias = Callable[[int], bytes]
Verify: TypeAlias = Literal["strict", "off"]

_T = TypeVar("_T")
_URL = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[^\s?#]*[^\s/?#])?")
_API_KEY = re.compile(rf"[!-~]{{1,{API_KEY_SIZE_MAX_CHARS}}}")
_IDEMPOTENCY_KEY = re.compile(rf"[!-~]{{1,{IDEMPOTENCY_KEY_MAX_CHARS}}}")
_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Call(Generic[_T]):
    """One thing to ask of a node, and how to read and check what it answers.

    Attributes:
        path: with its query, without the node's address.
        body: JSON, None for a GET.
        parse: reads the body of a reply; raises ValidationError or BadInput where it is not of its form.
        check: raises ReplyForged where the reply is not proven to be what it says.
        writes: whether it changes something, and so carries an idempotency key.
        idempotency_key: the caller's own; None: one is drawn.
        media_type: of a reply.
        size_max_bytes: how large a reply may be.
    """

    method: Literal["GET", "POST"]
    path: str
    body: bytes | None
    parse: Callable[[bytes], _T]
    check: Callable[[_T, Verifier], None]
    writes: bool = False
    idempotency_key: str | None = None
    media_type: str = "application/json"
    size_max_bytes: int = REPLY_SIZE_MAX_BYTES


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What to send, the same for every attempt."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    reply_size_max_bytes: int = REPLY_SIZE_MAX_BYTES


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Incoming:
    """Gathers the body of an answer, chunk by chunk, and stops at its bound."""

    def __init__(self, headers: Mapping[str, str], *, size_max_bytes: int) -> None:
        """Expect the body behind these headers, whose names are in lower case.

        Raises:
            ReplyForged: it is compressed: nobody asked for that, and what it unpacks to has no bound.
        """
        if headers.get("content-encoding", "identity") != "identity":
            raise malformed("An answer is compressed, and nobody asked for that.")
        self._left_bytes = size_max_bytes
        self._chunks: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        """Take the next chunk.

        Raises:
            ReplyForged: the body is larger than its bound.
        """
        self._left_bytes -= len(chunk)
        if self._left_bytes < 0:
            raise malformed("An answer is larger than it may be.")
        self._chunks.append(chunk)

    def body(self) -> bytes:
        """Return what came, as it was sent."""
        return b"".join(self._chunks)


class Exchange(Generic[_T]):
    """One call on its way: the request, whether to send it again, and its result."""

    def __init__(
        self, call: Call[_T], request: HttpRequest, *, verifier: Verifier | None, retries_left: int, random: RandomBytes
    ) -> None:
        """Begin; made by `Core.begin`."""
        self.request = request
        self._call = call
        self._verifier = verifier
        self._retries_left = retries_left
        self._random = random
        self._backoff_s = BACKOFF_FIRST_S

    def pause(self, answer: Answer | Exception, *, left_s: float) -> float | None:
        """Return how many seconds to wait before the same request is sent again; None: this answer is final.

        Args:
            answer: what came, or the error for which nothing did.
            left_s: what is left of the call's deadline.
        """
        if self._retries_left == 0 or not _may_retry(answer):
            return None
        # Full jitter: any moment up to the bound, so that those who failed together do not return together.
        wait_s = self._backoff_s * int.from_bytes(self._random(8), "big") / 2**64
        asked_s = None if isinstance(answer, Exception) else _retry_after_s(answer)
        if asked_s is not None and asked_s > RETRY_AFTER_MAX_S:
            return None
        wait_s = max(wait_s, asked_s or 0)
        if wait_s >= left_s:
            return None
        self._retries_left -= 1
        self._backoff_s = min(2 * self._backoff_s, BACKOFF_MAX_S)
        return wait_s

    @property
    def identifies(self) -> bool:
        """Whether this exchange fetches the node's descriptor."""
        return self._call.media_type == DESCRIPTOR_MEDIA_TYPE

    @property
    def _address(self) -> str:
        """Which of several nodes is meant; no secret stands in the address of one."""
        return "{0.scheme}://{0.netloc}".format(urlsplit(self.request.url))

    def verify_under(self, verifier: Verifier) -> None:
        """Verify the reply under other keys than those known when it was asked for."""
        self._verifier = verifier

    def read(self, answer: Answer | Exception) -> _T:
        """Return what the node answered, read and checked.

        Raises:
            NodeUnreachable: nothing came, or a proxy said that nothing would.
            NodeProblem: the node answered with a problem; which class says what to do.
            ReplyForged: the answer does not verify, or is not of its form.
        """
        if isinstance(answer, Exception):
            raise _unreachable(f"No answer came from the node at {self._address}.") from answer
        if not 200 <= answer.status < 300:
            raise _refusal(answer, self._address)
        if _media_type(answer) != self._call.media_type:
            raise malformed("An answer is of another media type.")
        try:
            reply = self._call.parse(answer.body)
        except (ValidationError, BadInput):
            # Not chained: what a validation error quotes may be a person's.
            raise malformed("An answer does not have the form it must have.") from None
        if self._verifier is not None:
            self._call.check(reply, self._verifier)
        return reply


class Core:
    """What a client knows: the node's address, its key there, and by whose keys replies must verify."""

    def __init__(
        self,
        url: str,
        *,
        key: str,
        fingerprint: str | None,
        descriptor: Descriptor | None,
        verify: Verify,
        retries_max: int,
        random_bytes: RandomBytes,
    ) -> None:
        """Take the settings of a client.

        Raises:
            BadInput: the address or the key is not one.
            NodeUnidentified: replies are to be verified, and there is neither fingerprint nor descriptor.
        """
        self._url = url.rstrip("/")
        if not _URL.fullmatch(self._url):
            raise BadInput("The address of a node is not a URL.", remedy="Pass one such as https://node.example.")
        if not _API_KEY.fullmatch(key):
            raise BadInput("An API key is not plain ASCII.", remedy="Pass the key as the node's operator gave it.")
        if verify == "strict" and fingerprint is None and descriptor is None:
            raise NodeUnidentified(
                "Nothing says whose node this is, so no reply could be verified.",
                remedy="Pass fingerprint=, as the node's operator tells it by another way, or descriptor=.",
            )
        self._key = key
        self._fingerprint = fingerprint
        self._descriptor = descriptor
        self._verify = verify
        self._retries_max = retries_max
        self._random_bytes = random_bytes
        self._heads = HeadMemory()

    def identify(self) -> Call[Descriptor] | None:
        """Return the call that must come before all others, for the node's descriptor; None: nothing is missing."""
        if self._verify == "off" or self._descriptor is not None:
            return None
        assert self._fingerprint is not None, "refused when the client was made"
        return self._ask_who(self._fingerprint)

    def _ask_who(self, expected: str) -> Call[Descriptor]:
        return Call(
            "GET",
            DESCRIPTOR_PATH,
            None,
            parse=lambda body: _opened(body, expected),
            check=unproven,
            media_type=DESCRIPTOR_MEDIA_TYPE,
        )

    def trust(self, descriptor: Descriptor) -> None:
        """Verify replies under the keys of this descriptor from now on."""
        self._descriptor = descriptor

    def identify_anew(self, error: ReplyForged, exchange: Exchange[_T]) -> Call[Descriptor] | None:
        """Return the call that may show why a reply did not verify, since nodes change keys; None: it cannot.

        Nothing more is believed than before: the descriptor must be signed by the same identity, and be newer.
        """
        if self._fingerprint is None or not isinstance(error.__cause__, SignatureRejected) or exchange.identifies:
            return None
        return self._ask_who(self._fingerprint)

    def trust_newer(self, descriptor: Descriptor, exchange: Exchange[_T]) -> bool:
        """Verify the reply of an exchange, and all that follow, under the keys of a descriptor, if it is newer than the
        one known; return whether it is."""
        if self._descriptor is None or descriptor.issued_at <= self._descriptor.issued_at:
            return False
        self._descriptor = descriptor
        exchange.verify_under(Verifier(descriptor, self._heads))
        return True

    def begin(self, call: Call[_T]) -> Exchange[_T]:
        """Return the exchange that carries out a call; its idempotency key is drawn here, once for all attempts.

        Raises:
            BadInput: the caller's idempotency key is not 1 to 128 visible ASCII characters.
        """
        headers = {"Accept": f"{call.media_type}, application/problem+json", "Accept-Encoding": "identity"}
        if call.media_type != DESCRIPTOR_MEDIA_TYPE:
            headers["Authorization"] = f"Bearer {self._key}"
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        if call.writes:
            key = call.idempotency_key
            if key is None:
                key = new_id("idm", self._random_bytes(ID_SIZE_BYTES))
            if not _IDEMPOTENCY_KEY.fullmatch(key):
                raise BadInput(
                    "An idempotency key is not 1 to 128 visible ASCII characters.", remedy="Use a shorter plain key."
                )
            headers["Idempotency-Key"] = key
        verifier = None if self._descriptor is None else Verifier(self._descriptor, self._heads)
        return Exchange(
            call,
            HttpRequest(call.method, self._url + call.path, headers, call.body, call.size_max_bytes),
            verifier=verifier if self._verify == "strict" else None,
            retries_left=self._retries_max,
            random=self._random_bytes,
        )


def unproven(reply: object, verifier: Verifier) -> None:
    """Check nothing: replies of this kind carry no proof, or were checked as they were parsed."""


def malformed(problem: str) -> ReplyForged:
    """Return the error for an answer that is not of the form that the protocol gives it."""
    return ReplyForged(
        problem,
        remedy="Check the address and what stands in front of the node, and that both sides run one version.",
        code="reply_malformed",
    )


def _may_retry(answer: Answer | Exception) -> bool:
    if isinstance(answer, Exception) or answer.status in RETRY_STATUSES:
        return True
    told = _problem(answer) if answer.status == HTTPStatus.CONFLICT else None
    return told is not None and told.code == IN_FLIGHT


def _refusal(answer: Answer, address: str) -> TallyError:
    if answer.status < 400:
        return malformed("An answer is a redirect or none at all.")
    told = _problem(answer)
    if told is not None:
        return problem_error(told)
    if answer.status in PROXY_STATUSES:
        return _unreachable(f"Only a proxy in front of the node answered at {address}.")
    return problem_error(
        Problem(
            type="about:blank",
            title="",
            status=answer.status,
            detail=f"Something answered with status {answer.status}, and not as a node does.",
            code=f"http_{answer.status}",
            remedy="Check the address, and what stands in front of the node.",
            retryable=answer.status in RETRY_STATUSES,
            retry_after=_retry_after_s(answer),
        )
    )


def _problem(answer: Answer) -> Problem | None:
    """Return the problem that an answer holds, with the status and the wait of its header; None: it holds none."""
    if _media_type(answer) != "application/problem+json":
        return None
    try:
        told = Problem.model_validate_json(answer.body)
    except ValidationError:
        return None
    header_s = _header_seconds(answer)
    return told.model_copy(
        update={"status": answer.status, "retry_after": told.retry_after if header_s is None else header_s}
    )


def _retry_after_s(answer: Answer) -> int | None:
    told = _problem(answer)
    return _header_seconds(answer) if told is None else told.retry_after


def _header_seconds(answer: Answer) -> int | None:
    """Return Retry-After in seconds; its other form, a date, would need our clock to agree with the node's."""
    text = answer.headers.get("retry-after", "").strip()
    return int(text) if _SECONDS.fullmatch(text) else None


def _media_type(answer: Answer) -> str:
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def _opened(body: bytes, expected_fingerprint: str) -> Descriptor:
    try:
        return open_descriptor(body.decode("ascii").strip(), expected_fingerprint=expected_fingerprint)
    except (TallyError, UnicodeDecodeError) as error:
        raise ReplyForged(
            "The node's descriptor is not signed by the identity key of that fingerprint.",
            remedy="Compare the fingerprint and the address with the node's operator by another way.",
        ) from error


def _unreachable(problem: str) -> NodeUnreachable:
    return NodeUnreachable(problem, remedy="Try again later; a write safely so under an idempotency_key= of your own.")
