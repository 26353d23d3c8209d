"""An audit of a node over HTTP: only what is needed is fetched, and whose keys counted is said aloud."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from logs import log_signers, plain_entries, publish
from signers import WITNESS, ed25519_key
from streamed import streamed

from tallystick.audit import AuditNotRun, Report, WebSource, audit, open_web
from tallystick.bounded import PIECE_SIZE_MAX_BYTES, chunks_of
from tallystick.descriptor import Descriptor, fingerprint, public_key, sign_descriptor
from tallystick_ledger.errors import SignatureRejected
from tallystick_ledger.tlog.policy import parse_policy

ORIGIN = "gym.example/log/2027"
NODE = "https://node.gym.example"
AUDITOR = "auditor-key"
IDENTITY = ed25519_key("identity")
FINGERPRINT = fingerprint(IDENTITY.public_key().public_bytes_raw())


def descriptor(identity: Ed25519PrivateKey = IDENTITY, origin: str = ORIGIN) -> str:
    log, log_pq = (signer.verifier_key.public_key for signer in log_signers(origin))
    keys = (
        public_key("identity", identity.public_key().public_bytes_raw(), from_s=0),
        public_key("log", log, from_s=7),
        public_key("log", ed25519_key("older").public_key().public_bytes_raw(), from_s=0),
        public_key("log-pq", log_pq, from_s=0),
    )
    told = Descriptor(v=1, host="gym.example", url=NODE, livemode=False, issued_at=1, keys=keys)
    return sign_descriptor(told, identity=identity)


class Node:
    """Serves a folder as a node does, and remembers what was asked for."""

    def __init__(self, log: Path, *, token: str | None = None) -> None:
        self.log = log
        self.token = descriptor() if token is None else token
        self.asked: list[str] = []
        self.log_path = "/log/2027/"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(path)
        if path == "/.well-known/tallystick":
            return streamed(self.token.encode()) if self.token else httpx.Response(404)
        is_bundle = path.startswith(f"{self.log_path}tile/entries/")
        assert ("authorization" in request.headers) <= is_bundle, "the key is shown for entries alone"
        if is_bundle and request.headers.get("authorization") != f"Bearer {AUDITOR}":
            return httpx.Response(401)
        file = self.log / path.removeprefix(self.log_path)
        if not file.is_file():
            return httpx.Response(404)
        if is_bundle:
            return streamed(gzip.compress(file.read_bytes()), encoding="gzip")
        return streamed(file.read_bytes())


def client(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(answer))


def opened(node: Callable[[httpx.Request], httpx.Response], url: str = NODE, **more: str) -> WebSource:
    return open_web(url, http=client(node), **({"year": "2027", "api_key": AUDITOR} | more))


def audited(node: Node, url: str = NODE, **more: str) -> Report:
    return audit([opened(node, url, **more)])


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(publish(tmp_path, plain_entries(300, origin=ORIGIN), origin=ORIGIN, sizes=(3,)))


@pytest.mark.parametrize("url", [NODE, f"{NODE}/", f"{NODE}/log/2027", f"{NODE}/log/2027/"])
def test_a_node_that_holds(node: Node, url: str) -> None:
    report = audited(node, url, expected_fingerprint=FINGERPRINT)
    assert report.holds
    assert report.sources[0].where == f"{NODE}/log/2027"
    assert report.sources[0].notes == (
        f"Keys from the descriptor of gym.example, whose identity key has the fingerprint {FINGERPRINT}.",
    )


def test_only_what_the_head_needs_is_fetched_and_once(node: Node) -> None:
    audited(node)
    assert sorted(node.asked) == sorted(
        [
            "/.well-known/tallystick",
            "/log/2027/checkpoint",
            *(f"/log/2027/tile/{path}" for path in ("0/000", "0/001.p/44", "1/000.p/1")),
            *(f"/log/2027/tile/entries/{path}" for path in ("000", "001.p/44")),
        ]
    )


def test_trust_on_first_use_is_said_aloud(node: Node) -> None:
    (note,) = audited(node).sources[0].notes
    assert "NOT COMPARED" in note
    assert FINGERPRINT in note


def test_another_identity_is_refused(node: Node) -> None:
    node.token = descriptor(ed25519_key("eve"))
    with pytest.raises(SignatureRejected):
        audited(node, expected_fingerprint=FINGERPRINT)


def test_a_changed_entry_is_found(node: Node) -> None:
    path = node.log / "tile/entries/000"
    path.write_bytes(path.read_bytes().replace(b'"kind":"event"', b'"kind":"evens"', 1))
    assert {finding.rule for finding in audited(node).findings} == {"log.tile", "log.checkpoint"}


def test_a_partial_tile_that_is_gone_is_read_from_the_full_one(node: Node, tmp_path: Path) -> None:
    """The log has grown since its checkpoint was fetched, and dropped what the older size needed."""
    grown = publish(tmp_path / "grown", plain_entries(512, origin=ORIGIN), origin=ORIGIN)
    (grown / "checkpoint").write_bytes((node.log / "checkpoint").read_bytes())
    (grown / "tile/1/000.p/1").write_bytes((node.log / "tile/1/000.p/1").read_bytes())
    report = audited(Node(grown))
    assert report.holds
    assert report.sources[0].entries == {"opening": 1, "event": 299}


def test_a_file_that_is_missing_is_found(node: Node) -> None:
    (node.log / "tile/1/000.p/1").unlink()
    assert [finding.rule for finding in audited(node).findings] == ["log.missing_file"]
    (node.log / "checkpoint").unlink()
    assert [finding.rule for finding in audited(node).findings] == ["log.missing_file"]


def test_a_reply_without_end_is_cut(node: Node) -> None:
    sent: list[int] = []

    def endless() -> Iterator[bytes]:
        while len(sent) < 1_000:
            sent.append(1)
            yield bytes(4096)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/log/2027/tile/0/000":
            return httpx.Response(200, content=endless())
        return node(request)

    assert [finding.rule for finding in audit([opened(answer)]).findings] == ["log.tile"]
    assert len(sent) < 10


def test_what_a_few_bytes_unpack_to_is_bounded_too() -> None:
    packed = gzip.compress(bytes(10_000_000), 9)
    with httpx.Client(transport=httpx.MockTransport(lambda _: streamed(packed, encoding="gzip"))) as http:
        with http.stream("GET", NODE) as answer:
            pieces = [len(piece) for piece in chunks_of(answer, may_be_gzip=True)]
        assert sum(pieces) == 10_000_000
        assert max(pieces) <= PIECE_SIZE_MAX_BYTES
    for encoding, body in (("gzip, gzip", gzip.compress(packed)), ("gzip", b"not gzip"), ("br", packed)):
        bomb = streamed(body, encoding=encoding)
        with pytest.raises(AuditNotRun, match="DecodingError"):
            opened(httpx.MockTransport(lambda _, bomb=bomb: bomb).handle_request)


def test_lines_of_witnesses_nobody_listed_are_told_and_not_blamed(node: Node, tmp_path: Path) -> None:
    node.log = publish(tmp_path / "two", plain_entries(3, origin=ORIGIN), origin=ORIGIN, witnesses=[WITNESS])
    report = audited(node)
    assert report.holds
    assert report.sources[0].notes[1] == "Signature lines of keys this audit does not know, and did not check: 1."


def test_a_policy_needs_no_descriptor(node: Node) -> None:
    text = "".join(f"log {signer.verifier_key.text}\n" for signer in log_signers(ORIGIN)) + "quorum none\n"
    source = open_web(NODE, http=client(node), year=2027, api_key=AUDITOR, policy=parse_policy(text.encode()))
    assert audit([source]).holds
    assert "/.well-known/tallystick" not in node.asked


def test_without_a_key_the_audit_cannot_run(node: Node) -> None:
    with pytest.raises(AuditNotRun, match="only auditors"):
        audited(node, api_key="stranger")


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no route", request=request)


@pytest.mark.parametrize(
    "answer",
    [
        unreachable,
        lambda _: httpx.Response(404),
        lambda _: httpx.Response(500),
        lambda _: httpx.Response(302, headers={"location": "https://elsewhere.example"}),
        lambda _: streamed(b"\xff"),
    ],
)
def test_what_is_no_node_cannot_be_audited(answer: Callable[[httpx.Request], httpx.Response]) -> None:
    with pytest.raises(AuditNotRun):
        opened(answer)


@pytest.mark.parametrize(
    "url", ["http://", "https://user:secret@host", "https://host/?a=b", "https://host/#x", "https://h h"]
)
def test_what_is_no_address_of_a_node_is_refused(node: Node, url: str) -> None:
    with pytest.raises(AuditNotRun):
        opened(node, url)
    assert node.asked == []


def test_a_key_that_could_end_a_header_is_refused(node: Node) -> None:
    with pytest.raises(AuditNotRun):
        opened(node, api_key="key\r\nx: y")


@pytest.mark.parametrize(("url", "more"), [(f"{NODE}/log/2027-2", {}), (NODE, {"year": "2027-2"})])
def test_a_successor_is_audited_at_its_address_or_by_its_name(url: str, more: dict[str, str], tmp_path: Path) -> None:
    origin = f"{ORIGIN}-2"
    node = Node(publish(tmp_path, plain_entries(3, origin=origin), origin=origin), token=descriptor(origin=origin))
    node.log_path = "/log/2027-2/"
    report = audited(node, url, **more)
    assert report.holds
    assert report.sources[0].origin == origin
