"""Between partners: every request signed, and no answer taken but the partner's own to that very request."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sdk.stand_in import NOW_S, problem

from tallystick.descriptor import Descriptor, key_id, public_key
from tallystick.errors import (
    ConsentRefused,
    KeyRefused,
    NodeFailed,
    NodeProblem,
    NodeUnreachable,
    NotFound,
    ReplyForged,
    TallyError,
)
from tallystick.peer import PEER_REPLY_SIZE_MAX_BYTES, PeerClient
from tallystick.signing import sign_response, verify_request
from tallystick.wire import Asked, PeerAcknowledged, PeerAsk
from tallystick_ledger.encoding import canonical_json, new_id
from tallystick_ledger.errors import BadInput

GYM = Ed25519PrivateKey.from_private_bytes(b"G" * 32)
INSURER = Ed25519PrivateKey.from_private_bytes(b"I" * 32)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"S" * 32)
URL = "https://edge.gym.example/tally"
ASK = PeerAsk(link=new_id("lnk", b"l" * 16), program="walkers", version=1, period="2027-03")
ACCEPTED = b'{"status":"accepted"}'

GYM_DESCRIPTOR = Descriptor(
    v=1,
    host="gym.example",
    url=URL,
    livemode=False,
    issued_at=NOW_S,
    keys=(
        public_key("identity", STRANGER.public_key().public_bytes_raw(), from_s=0),
        public_key("http", GYM.public_key().public_bytes_raw(), from_s=0),
    ),
)
GYM_KEY_ID = key_id("http", GYM.public_key().public_bytes_raw())
INSURER_KEY_ID = key_id("http", INSURER.public_key().public_bytes_raw())


class Gym:
    """The partner's node: it reads requests as a node does, and signs what a test tells it to answer."""

    def __init__(self, status: int = 202, body: bytes = ACCEPTED) -> None:
        self.status, self.body = status, body
        self.headers: dict[str, str] = {}
        self.key, self.key_id, self.now_s = GYM, GYM_KEY_ID, NOW_S
        self.asked: list[httpx.Request] = []
        self.after: Callable[[httpx.Response], httpx.Response] = lambda response: response
        self.bound_to: Mapping[str, str] | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        verify_request(
            method="POST",
            url=URL + request.url.path.removeprefix("/tally"),
            headers=request.headers,
            body=request.content,
            keys={INSURER_KEY_ID: INSURER.public_key()},
            now_s=NOW_S,
        )
        signed = sign_response(
            status=self.status,
            body=self.body,
            request_headers=self.bound_to or request.headers,
            key_id=self.key_id,
            private_key=self.key,
            now_s=self.now_s,
            nonce="n" * 22,
        )
        return self.after(httpx.Response(self.status, headers={**signed, **self.headers}, content=self.body))


class Dice:
    """Randomness that a test can tell in advance."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, size: int) -> bytes:
        self.drawn += 1
        return bytes([self.drawn]) * size


def ask(gym: Callable[[httpx.Request], httpx.Response], *, times: int = 1, deadline_s: float = 30) -> Asked:
    """Ask as the insurer's node does."""

    async def asked() -> Asked:
        async with httpx.AsyncClient(transport=httpx.MockTransport(gym), follow_redirects=True) as http:
            client = PeerClient(
                host="insurer.example",
                key_id=INSURER_KEY_ID,
                private_key=INSURER,
                partner=GYM_DESCRIPTOR,
                http=http,
                now_s=lambda: NOW_S,
                random_bytes=Dice(),
                deadline_s=deadline_s,
            )
            for _ in range(times - 1):
                await client.post("/peer/v1/asks", ASK, idempotency_key="msg_1", reply=Asked)
            return await client.post("/peer/v1/asks", ASK, idempotency_key="msg_1", reply=Asked)

    return asyncio.run(asked())


def test_a_partner_reads_who_asked_and_answers() -> None:
    """The partner's public address is what is signed, whatever stands in front of its node."""
    gym = Gym()
    assert ask(gym) == Asked()
    (request,) = gym.asked
    assert str(request.url) == f"{URL}/peer/v1/asks"
    assert request.content == canonical_json(ASK.model_dump(mode="json"))
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == "msg_1"


def test_every_attempt_has_a_nonce_of_its_own_and_the_same_idempotency_key() -> None:
    gym = Gym()
    ask(gym, times=2)
    first, second = gym.asked
    assert first.headers["signature-input"] != second.headers["signature-input"]
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_an_answer_signed_by_somebody_else_is_not_believed() -> None:
    gym = Gym()
    gym.key = STRANGER
    with pytest.raises(ReplyForged, match="not signed by the partner"):
        ask(gym)


def test_an_answer_signed_by_another_key_of_the_partner_is_not_believed() -> None:
    gym = Gym()
    gym.key, gym.key_id = STRANGER, GYM_DESCRIPTOR.key("identity").id
    with pytest.raises(ReplyForged, match="not signed by the partner"):
        ask(gym)


def test_an_answer_to_another_request_is_not_believed() -> None:
    gym = Gym()
    ask(gym)
    gym.bound_to = gym.asked[0].headers

    def another(request: httpx.Request) -> httpx.Response:
        request.headers["x-second"] = "1"
        return gym(request)

    dice = Dice()
    dice(16)

    async def asked() -> Asked:
        async with httpx.AsyncClient(transport=httpx.MockTransport(another)) as http:
            client = PeerClient(
                host="insurer.example",
                key_id=INSURER_KEY_ID,
                private_key=INSURER,
                partner=GYM_DESCRIPTOR,
                http=http,
                now_s=lambda: NOW_S,
                random_bytes=dice,
            )
            return await client.post("/peer/v1/asks", ASK, idempotency_key="msg_1", reply=Asked)

    with pytest.raises(ReplyForged, match="not signed by the partner"):
        asyncio.run(asked())


def changed(response: httpx.Response, **changes: object) -> httpx.Response:
    """The response with its status or body changed on the way, its headers left."""
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    status, body = changes.get("status", response.status_code), changes.get("body", response.content)
    assert isinstance(status, int)
    assert isinstance(body, bytes)
    return httpx.Response(status, headers=headers, content=body)


@pytest.mark.parametrize("change", [{"body": b'{"status":"refused"}'}, {"status": 200}])
def test_an_answer_changed_on_its_way_is_not_believed(change: dict[str, object]) -> None:
    gym = Gym()
    gym.after = lambda response: changed(response, **change)
    with pytest.raises(ReplyForged, match="not signed by the partner"):
        ask(gym)


def test_an_answer_signed_for_another_time_says_so() -> None:
    gym = Gym()
    gym.now_s = NOW_S - 301
    with pytest.raises(ReplyForged) as caught:
        ask(gym)
    assert caught.value.code == "clock_skew"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "signature_invalid", KeyRefused),
        (404, "not_found", NotFound),
        (409, "receipt_expired", ConsentRefused),
        (400, "invalid_input", NodeProblem),
        (503, "storage_unavailable", NodeFailed),
    ],
)
def test_a_signed_problem_becomes_its_error(status: int, code: str, kind: type[NodeProblem]) -> None:
    told = problem(status, code)
    with pytest.raises(NodeProblem) as caught:
        ask(Gym(told.status, told.body))
    assert (type(caught.value), caught.value.code) == (kind, code)


def test_an_unsigned_problem_is_not_believed() -> None:
    told = problem(404, "not_found")
    with pytest.raises(ReplyForged, match="not signed by the partner"):
        ask(lambda _: httpx.Response(404, headers=dict(told.headers), content=told.body))


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_without_its_node_is_no_answer(status: int) -> None:
    with pytest.raises(NodeUnreachable) as caught:
        ask(lambda _: httpx.Response(status, content=b"<h1>down</h1>"))
    assert caught.value.code == "peer_unavailable"
    assert caught.value.retryable


def test_a_wrongly_signed_503_is_more_than_a_proxy() -> None:
    gym = Gym(503, problem(503, "storage_unavailable").body)
    gym.key = STRANGER
    with pytest.raises(ReplyForged):
        ask(gym)


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_an_unsigned_answer_is_not_believed(status: int) -> None:
    with pytest.raises(ReplyForged, match="not signed by the partner"):
        ask(lambda _: httpx.Response(status, content=ACCEPTED))


def test_a_signed_redirect_is_not_followed() -> None:
    gym = Gym(307, b"")
    gym.headers = {"location": "https://elsewhere.example/peer/v1/asks"}
    with pytest.raises(ReplyForged, match="redirect"):
        ask(gym)
    assert len(gym.asked) == 1


def test_only_success_is_success() -> None:
    assert ask(Gym(299)) == Asked()
    with pytest.raises(ReplyForged, match="redirect"):
        ask(Gym(300))


@pytest.mark.parametrize("body", [b"", b"[]", b'{"status":"refused"}', b'{"status":1}'])
def test_a_signed_answer_of_another_form_is_refused(body: bytes) -> None:
    with pytest.raises(ReplyForged) as caught:
        ask(Gym(body=body))
    assert caught.value.code == "reply_malformed"


def test_a_signed_problem_of_another_form_is_refused() -> None:
    with pytest.raises(ReplyForged) as caught:
        ask(Gym(400, b"{}"))
    assert caught.value.code == "reply_malformed"


def test_an_answer_may_be_as_large_as_its_bound_and_no_larger() -> None:
    padding = b" " * (PEER_REPLY_SIZE_MAX_BYTES - len(ACCEPTED))
    assert ask(Gym(body=ACCEPTED + padding)) == Asked()
    with pytest.raises(ReplyForged, match="larger"):
        ask(Gym(body=ACCEPTED + padding + b" "))


def test_a_compressed_answer_is_refused() -> None:
    gym = Gym()
    gym.after = lambda response: httpx.Response(
        202, headers={**response.headers, "content-encoding": "gzip"}, stream=Slow([ACCEPTED])
    )
    with pytest.raises(ReplyForged, match="compressed"):
        ask(gym)


class Slow(httpx.AsyncByteStream):
    """A body whose chunks come one by one, or never."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk
        await asyncio.sleep(3600)


def test_a_partner_that_does_not_finish_is_not_waited_for() -> None:
    with pytest.raises(NodeUnreachable):
        ask(lambda _: httpx.Response(202, stream=Slow([b"{"])), deadline_s=0.05)


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def test_a_partner_that_is_away_is_unreachable() -> None:
    with pytest.raises(NodeUnreachable):
        ask(refuse)


def test_what_cannot_be_signed_is_not_sent() -> None:
    gym = Gym()

    async def asked() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(gym)) as http:
            client = PeerClient(
                host="insurer.example",
                key_id=INSURER_KEY_ID,
                private_key=INSURER,
                partner=GYM_DESCRIPTOR,
                http=http,
                now_s=lambda: NOW_S,
                random_bytes=Dice(),
            )
            await client.post("/peer/v1/asks", ASK, idempotency_key="two words", reply=PeerAcknowledged)

    with pytest.raises(BadInput):
        asyncio.run(asked())
    assert gym.asked == []


def test_no_error_says_whom_or_what_was_asked() -> None:
    errors: list[TallyError] = []
    for gym in (refuse, Gym(body=b"{"), lambda _: httpx.Response(404)):
        with pytest.raises(TallyError) as caught:
            ask(gym)
        errors.append(caught.value)
    assert not any(part in str(error) for error in errors for part in ("gym.example", ASK.link, "msg_1"))
