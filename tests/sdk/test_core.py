"""What a client believes, what it refuses, and when it asks again; without a socket, against a log with real keys."""

import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sdk.stand_in import (
    DESCRIPTOR,
    FINGERPRINT,
    KEYS,
    LINK,
    LOG_PQ,
    LOG_SIGNER,
    NOW_S,
    ORIGIN,
    PROGRAM,
    RECEIPT,
    SUBJECT,
    VISIT,
    GymNode,
    Log,
    honest,
    problem,
    terms,
)

from tallystick import journeys
from tallystick.calls import ClaimCalls, EventCalls, LinkCalls, OfferInHand, ProgramCalls, ProofCalls, ReceiptCalls
from tallystick.core import (
    BACKOFF_FIRST_S,
    REPLY_SIZE_MAX_BYTES,
    RETRIES_MAX,
    RETRY_AFTER_MAX_S,
    Answer,
    Call,
    Core,
    Exchange,
    Incoming,
    Verify,
)
from tallystick.errors import (
    CONSENT_CODES,
    Conflict,
    ConsentRefused,
    KeyRefused,
    NodeFailed,
    NodeProblem,
    NodeUnidentified,
    NodeUnreachable,
    NotFound,
    RateLimited,
    ReplyForged,
    problem_error,
)
from tallystick.growth import LedgerForked
from tallystick.verify import HEADS_MAX, PROOFS_MAX, HeadMemory
from tallystick.wire import REQUEST_SIZE_MAX_BYTES, Event, Problem
from tallystick_consent import decide
from tallystick_consent.errors import ProgramRejected
from tallystick_consent.events import EventRefused
from tallystick_consent.receipts.evidence import Evidence
from tallystick_ledger.encoding import canonical_json, to_base64url
from tallystick_ledger.entry import make_entry
from tallystick_ledger.errors import BadInput, SignatureRejected, TallyError
from tallystick_ledger.tlog.checkpoint import Checkpoint
from tallystick_ledger.tlog.note import CosignatureSigner, NoteSigner, sign_note
from tallystick_ledger.tlog.proof import parse_proof

T = TypeVar("T")
STRANGER = Ed25519PrivateKey.from_private_bytes(b"S" * 32)
EVIDENCE = Evidence(grade="app_asserted", app="gym-app", login="aal2")
OK = {"content-type": "application/json"}


def dice(size: int) -> bytes:
    """Randomness that always comes up one half."""
    return b"\x80" + bytes(size - 1)


def core(*, verify: Verify = "strict", retries_max: int = RETRIES_MAX) -> Core:
    return Core(
        "https://node.gym.example/",
        key="sk_test_1",
        fingerprint=None,
        descriptor=DESCRIPTOR,
        verify=verify,
        retries_max=retries_max,
        random_bytes=dice,
    )


def ask(call: Call[T], node: GymNode, by: Core | None = None) -> T:
    """Carry a call to the node and read what it answers, as a client does."""
    exchange = (by or core()).begin(call)
    request = exchange.request
    path = request.url.removeprefix("https://node.gym.example")
    answer = node.answer(request.method, path, dict(request.headers), request.body or b"")
    return exchange.read(answer if answer is not None else ConnectionError())


def record(data: dict[str, Any] | None = None, receipt: str | None = None) -> Call[Event]:
    return EventCalls().record(subject=SUBJECT, type="visit.ended", data=data or VISIT, receipt=receipt)


def withdraw() -> Call[Any]:
    return ReceiptCalls().withdraw(RECEIPT, subject=SUBJECT)


def lying(**members: object) -> GymNode:
    """A node that replies with other members than are true."""
    node = GymNode()
    node.lie = lambda reply: reply.update(members)
    return node


def about(**otherwise: Any) -> GymNode:
    """A node that writes, proves and commits to something else, all of it consistently."""
    node = GymNode()
    for name, value in otherwise.items():
        setattr(node, name, value)
    return node


# What is believed


def test_an_event_is_believed_once_the_ledger_holds_just_what_was_sent() -> None:
    event = ask(record(), GymNode())
    assert (event.type, event.receipt, len(event.proofs)) == ("visit.ended", RECEIPT, 1)


def test_a_second_event_is_believed_behind_the_first() -> None:
    node, by = GymNode(), core()
    first, second = ask(record(), node, by), ask(record(), node, by)
    assert [first.proofs[0].index, second.proofs[0].index] == [0, 1]


def test_an_event_is_opened_when_it_is_read_again() -> None:
    event_id = GymNode().new_id("evt")  # the first that a stand-in draws
    assert ask(EventCalls().get(event_id), GymNode()).event == event_id


@pytest.mark.parametrize(
    ("call", "state"),
    [
        (ReceiptCalls().request(LINK), "requested"),
        (ReceiptCalls().give(RECEIPT, subject=SUBJECT, evidence=EVIDENCE), "given"),
        (ReceiptCalls().refuse(RECEIPT, subject=SUBJECT), "refused"),
        (withdraw(), "withdrawn"),
        (ReceiptCalls().get(RECEIPT), "given"),
    ],
)
def test_a_receipt_is_believed_in_the_state_that_the_ledger_has(call: Call[Any], state: str) -> None:
    assert ask(call, GymNode()).state == state


def test_receipts_are_found_by_their_customer() -> None:
    assert [each.receipt for each in ask(ReceiptCalls().find(subject=SUBJECT), GymNode()).receipts] == [RECEIPT]


def test_a_program_is_believed_as_published_listed_and_accepted() -> None:
    calls = ProgramCalls()
    published = ask(calls.publish(PROGRAM), GymNode())
    accepted = ask(calls.accept("walkers", 1), GymNode())
    (listed,) = ask(calls.list(), GymNode()).programs
    assert published.digest == accepted.digest == listed.digest


def test_a_proof_is_believed_alone() -> None:
    assert ask(ProofCalls().get(0), GymNode()).index == 0


def test_a_published_head_with_a_second_signature_is_believed() -> None:
    node = GymNode()
    reply: dict[str, Any] = {}

    def publish(said: dict[str, Any]) -> None:
        proof = parse_proof(said["proof"].encode())
        head = proof.checkpoint.partition(b"\n\n")[0] + b"\n"
        signers = [LOG_SIGNER, CosignatureSigner(ORIGIN, LOG_PQ)]
        said["proof"] = replace(proof, checkpoint=sign_note(head, signers, now_s=NOW_S)).encode().decode()
        reply.update(said)

    node.lie = publish
    ask(ProofCalls().get(0), node)
    assert reply["proof"].count("\N{EM DASH}") == 2


def test_a_later_shard_of_the_year_is_the_nodes_log_too() -> None:
    origin = "gym.example/log/2027-2"
    ask(ProofCalls().get(0), other_log(origin, NoteSigner(origin, LOG_KEY)))


# Every lie a node can tell

LOG_KEY = KEYS["log"]


def other_log(origin: str, signer: NoteSigner) -> GymNode:
    """A node whose proof is against another log, in which the entry truly stands."""
    entry = make_entry("event", {}, entry_id=GymNode().new_id("evt"), blind=b"b" * 16, at_s=NOW_S).raw
    return lying(**Log().append(entry, origin=origin, signer=signer))


def second_proof_of(raw: bytes) -> GymNode:
    """A node that proves what it should, and then one thing more."""
    node = GymNode()
    node.lie = lambda reply: reply["proofs"].append(node.log.append(raw))
    return node


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        (lying(proofs=[]), "proves nothing"),
        (about(entry={"entry_id": GymNode().new_id("oth")}), "No proven entry is of the event"),
        (about(entry={"kind": "correction"}), "No proven entry is of the event"),
        (about(entry={"at_s": NOW_S - 1}), "No proven entry is of the event"),
        (second_proof_of(b"{}"), "does not show its entry"),
        (about(body={"commitment": "c" * 43}), "does not open"),
        (about(media_type="text/plain"), "another media type"),
        (about(payload={"id": GymNode().new_id("oth")}), "of another event than the reply"),
        (about(payload={"source": "//train.example"}), "of another event than the reply"),
        (lying(type="visit.began"), "of another event than the reply"),
        (lying(receipt=GymNode().new_id("rcp")), "of another event than the reply"),
        (about(payload={"subject": "member-18"}), "recorded another event"),
        (about(payload={"data": {**VISIT, "facility": "north-3"}}), "recorded another event"),
        (about(payload={"data": {**VISIT, "extra": 1}}), "recorded another event"),
    ],
)
def test_an_event_is_not_believed_if(node: GymNode, problem: str) -> None:
    with pytest.raises(ReplyForged, match=problem):
        ask(record(), node)


def test_an_event_of_another_type_than_was_sent_is_not_believed() -> None:
    node = about(payload={"type": "visit.began"})
    node.lie = lambda reply: reply.update(type="visit.began")
    with pytest.raises(ReplyForged, match="recorded another event"):
        ask(record(), node)


def test_an_event_kept_under_another_receipt_than_was_named_is_not_believed() -> None:
    other = GymNode().new_id("rcp")
    node = about(payload={"tallyreceipt": other})
    node.lie = lambda reply: reply.update(receipt=other)
    with pytest.raises(ReplyForged, match="recorded another event"):
        ask(record(receipt=RECEIPT), node)


def test_one_is_not_true() -> None:
    with pytest.raises(ReplyForged, match="recorded another event"):
        ask(record({"indoors": 1}), about(payload={"data": {"indoors": True}}))


def test_an_event_may_be_read_again_without_its_proof() -> None:
    assert ask(EventCalls().get(GymNode().new_id("evt")), lying(proofs=[])).proofs == ()


def test_another_event_than_the_one_asked_for_is_not_believed() -> None:
    with pytest.raises(ReplyForged, match="another event"):
        ask(EventCalls().get(GymNode().new_id("oth")), GymNode())


def test_an_event_that_is_read_again_must_open_its_commitment_too() -> None:
    with pytest.raises(ReplyForged, match="does not open"):
        ask(EventCalls().get(GymNode().new_id("evt")), about(body={"commitment": "c" * 43}))


def test_a_payload_that_is_no_json_is_not_believed() -> None:
    with pytest.raises(ReplyForged, match="not one that a node seals"):
        ask(record(), lying(opening={"salt": "s", "media_type": "", "payload": "dmlzaXQ"}))


@pytest.mark.parametrize(
    ("origin", "signer", "problem"),
    [
        ("train.example/log/2027", NoteSigner("train.example/log/2027", LOG_KEY), "log of somebody else"),
        ("gym.example/log/27", NoteSigner("gym.example/log/27", LOG_KEY), "log of somebody else"),
        ("gym.example/log/2027/x", NoteSigner("gym.example/log/2027/x", LOG_KEY), "log of somebody else"),
        ("gymxexample/log/2027", NoteSigner("gymxexample/log/2027", LOG_KEY), "log of somebody else"),
        (ORIGIN, NoteSigner(ORIGIN, STRANGER), "does not show its entry"),
    ],
)
def test_a_proof_is_not_believed_by_another_log_or_key(origin: str, signer: NoteSigner, problem: str) -> None:
    """The key is the gym's own in all but the last: only the name can tell."""
    with pytest.raises(ReplyForged, match=problem):
        ask(ProofCalls().get(0), other_log(origin, signer))


def test_a_proof_of_another_entry_is_not_believed() -> None:
    entry = make_entry("event", {}, entry_id=GymNode().new_id("oth"), blind=b"b" * 16, at_s=NOW_S).raw.decode()
    with pytest.raises(ReplyForged, match="does not show its entry"):
        ask(ProofCalls().get(0), lying(entry=entry))


def test_a_proof_of_another_place_than_stated_is_not_believed() -> None:
    with pytest.raises(ReplyForged, match="another place"):
        ask(ProofCalls().get(1), lying(index=1))


def test_a_proof_of_another_place_than_asked_for_is_not_believed() -> None:
    with pytest.raises(ReplyForged, match="another entry than the one it was asked"):
        ask(ProofCalls().get(1), GymNode())


def test_a_forgery_tells_what_failed() -> None:
    with pytest.raises(ReplyForged) as caught:
        ask(ProofCalls().get(0), other_log(ORIGIN, NoteSigner(ORIGIN, STRANGER)))
    assert isinstance(caught.value.__cause__, SignatureRejected)


def test_more_proofs_than_a_write_can_need_are_refused() -> None:
    node = GymNode()
    node.lie = lambda reply: reply.update(proofs=reply["proofs"] * PROOFS_MAX)
    ask(record(), node)
    node.lie = lambda reply: reply.update(proofs=reply["proofs"] * (PROOFS_MAX + 1))
    with pytest.raises(ReplyForged, match="more proofs"):
        ask(record(), node)


def test_two_roots_of_one_size_are_a_fork_and_both_heads_are_kept_as_evidence() -> None:
    by, node = core(), GymNode()
    ask(record(), node, by)
    node.log = Log()  # history begins anew
    with pytest.raises(LedgerForked) as caught:
        ask(record(), node, by)
    assert caught.value.code == "ledger_forked"
    assert caught.value.proof.check(caught.value.proof.keys).accuses
    assert len(set(caught.value.evidence)) == 2
    assert all(note.startswith(f"{ORIGIN}\n1\n".encode()) for note in caught.value.evidence)


def test_an_older_smaller_head_is_no_fork() -> None:
    by, node = core(), GymNode()
    first: dict[str, Any] = {}
    node.lie = first.update
    ask(record(), node, by)
    node.lie = honest
    ask(record(), node, by)
    ask(record(), lying(**first), by)


def head(size: int, root: bytes) -> Checkpoint:
    return Checkpoint(ORIGIN, size, root * 32)


def test_the_largest_head_is_the_one_that_is_remembered() -> None:
    heads = HeadMemory()
    for size in (5, 7, 6):
        heads.see(head(size, b"1"), note=b"")
    with pytest.raises(ReplyForged, match="two histories"):
        heads.see(head(7, b"2"), note=b"")


def test_heads_of_other_years_are_remembered_apart() -> None:
    heads = HeadMemory()
    heads.see(Checkpoint("gym.example/log/2027", 1, b"1" * 32), note=b"")
    heads.see(Checkpoint("gym.example/log/2028", 1, b"2" * 32), note=b"")


def test_no_more_heads_are_remembered_than_the_bound() -> None:
    heads = HeadMemory()
    for year in range(1970, 1970 + HEADS_MAX):
        heads.see(Checkpoint(f"gym.example/log/{year}", 1, b"1" * 32), note=b"")
    with pytest.raises(ReplyForged):
        heads.see(Checkpoint("gym.example/log/1970", 1, b"2" * 32), note=b"")
    with pytest.raises(ReplyForged, match="more logs"):
        heads.see(Checkpoint("gym.example/log/9999", 1, b"1" * 32), note=b"")
    with pytest.raises(LedgerForked):  # nothing was forgotten for it
        heads.see(Checkpoint("gym.example/log/1970", 1, b"2" * 32), note=b"")


OTHER_RECEIPT = GymNode().new_id("rcp")


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        (lying(proofs=[]), "proves nothing"),
        (about(states={"withdraw": "given"}), "another state"),
        (about(body={"state": "given"}), "No proven entry is of the receipt"),
        (about(body={"receipt": OTHER_RECEIPT}), "No proven entry is of the receipt"),
        (about(body={"version": 2}), "No proven entry is of the receipt"),
        (about(body={"terms": terms(retention_s=1).digest()}), "No proven entry is of the receipt"),
        (about(entry={"kind": "erasure"}), "No proven entry is of the receipt"),
        (lying(receipt=OTHER_RECEIPT), "terms are of another receipt"),
        (lying(version=2), "terms are of another receipt"),
        (lying(terms={}), "terms are not of their form"),
        (lying(terms=terms(notice="n" * 43).document()), "notice is not the one"),
    ],
)
def test_a_withdrawal_is_not_believed_if(node: GymNode, problem: str) -> None:
    with pytest.raises(ReplyForged, match=problem):
        ask(withdraw(), node)


def another_receipt(**changes: object) -> GymNode:
    """A node that did everything right, with another receipt."""
    other = terms(**changes)
    node = about(body={"receipt": other.receipt, "terms": other.digest()})
    node.lie = lambda reply: reply.update(receipt=other.receipt, terms=other.document())
    return node


def test_a_step_of_another_receipt_than_named_is_not_believed() -> None:
    with pytest.raises(ReplyForged, match="changed another receipt"):
        ask(withdraw(), another_receipt(receipt=OTHER_RECEIPT))


def test_another_receipt_than_asked_for_is_not_believed() -> None:
    with pytest.raises(ReplyForged, match="returned another receipt"):
        ask(ReceiptCalls().get(RECEIPT), another_receipt(receipt=OTHER_RECEIPT))


def test_a_request_for_another_link_than_named_is_not_believed() -> None:
    with pytest.raises(ReplyForged, match="another link"):
        ask(ReceiptCalls().request(LINK), another_receipt(link=GymNode().new_id("lnk")))


def test_a_notice_is_checked_wherever_a_receipt_is_shown() -> None:
    other = terms(notice="n" * 43).document()
    node = GymNode()
    node.lie = lambda reply: reply["receipts"][0].update(terms=other)
    with pytest.raises(ReplyForged, match="notice"):
        ask(ReceiptCalls().find(link=LINK), node)
    with pytest.raises(ReplyForged, match="notice"):
        ask(ReceiptCalls().get(RECEIPT), lying(terms=other))


CHEAPER = {**PROGRAM, "reward": {"asset": "USD/2", "amount": 1}}


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        (lying(proofs=[]), "proves nothing"),
        (about(body={"digest": "d" * 43}), "No proven entry is of the program"),
        (about(body={"program": "runners"}), "No proven entry is of the program"),
        (about(body={"program_version": 2}), "No proven entry is of the program"),
        (about(entry={"kind": "erasure"}), "No proven entry is of the program"),
        (lying(program=CHEAPER), "digest is not that of its text"),
        (lying(program={}), "not of its form"),
    ],
)
def test_a_publication_is_not_believed_if(node: GymNode, problem: str) -> None:
    with pytest.raises(ReplyForged, match=problem):
        ask(ProgramCalls().publish(PROGRAM), node)


def test_another_program_than_the_one_sent_is_not_believed() -> None:
    node = GymNode()
    answer = node.answer("POST", "/v1/programs", {}, canonical_json({"program": CHEAPER}))
    assert answer is not None
    with pytest.raises(ReplyForged, match="published another program"):
        core().begin(ProgramCalls().publish(PROGRAM)).read(answer)


@pytest.mark.parametrize(("name", "version"), [("runners", 1), ("walkers", 2)])
def test_another_program_than_the_one_accepted_is_not_believed(name: str, version: int) -> None:
    with pytest.raises(ReplyForged, match="accepted another program"):
        ask(ProgramCalls().accept(name, version), GymNode())


def test_a_listed_program_must_have_its_digest() -> None:
    node = GymNode()
    node.lie = lambda reply: reply["programs"][0].update(program=CHEAPER)
    with pytest.raises(ReplyForged, match="digest"):
        ask(ProgramCalls().list(), node)


def test_who_verifies_nothing_is_told_anything() -> None:
    assert ask(record(), lying(proofs=[], type="visit.began"), core(verify="off")).type == "visit.began"


# Whose node it is


def identify(given: str) -> Core:
    return Core(
        "https://node.gym.example",
        key="sk_test_1",
        fingerprint=given,
        descriptor=None,
        verify="strict",
        retries_max=0,
        random_bytes=dice,
    )


def test_a_node_is_known_by_its_fingerprint() -> None:
    call = identify(FINGERPRINT).identify()
    assert call is not None
    assert ask(call, GymNode()) == DESCRIPTOR


def test_a_descriptor_of_another_fingerprint_is_not_believed() -> None:
    call = identify("0" * 64).identify()
    assert call is not None
    with pytest.raises(ReplyForged, match="fingerprint"):
        ask(call, GymNode())


def test_the_descriptor_is_asked_for_without_the_apps_key() -> None:
    by = identify(FINGERPRINT)
    call = by.identify()
    assert call is not None
    assert "Authorization" not in by.begin(call).request.headers


def test_who_verifies_must_say_whose_node_it_is() -> None:
    with pytest.raises(NodeUnidentified, match="fingerprint="):
        Core(
            "https://node.gym.example",
            key="sk_test_1",
            fingerprint=None,
            descriptor=None,
            verify="strict",
            retries_max=0,
            random_bytes=dice,
        )


# What is sent


def test_a_write_carries_key_body_and_a_drawn_idempotency_key() -> None:
    request = core().begin(record()).request
    assert (request.method, request.url) == ("POST", "https://node.gym.example/v1/events")
    assert request.headers == {
        "Accept": "application/json, application/problem+json",
        "Accept-Encoding": "identity",
        "Authorization": "Bearer sk_test_1",
        "Content-Type": "application/json",
        "Idempotency-Key": "idm_qaaaaaaaaaaaaaaaaaaaaaaaaa",
    }
    assert request.body == canonical_json({"subject": SUBJECT, "type": "visit.ended", "data": VISIT, "receipt": None})


def test_a_read_carries_no_idempotency_key() -> None:
    assert "Idempotency-Key" not in core().begin(ReceiptCalls().find(subject=SUBJECT)).request.headers
    assert core().begin(ReceiptCalls().get(RECEIPT)).request.headers.keys() == {
        "Accept",
        "Accept-Encoding",
        "Authorization",
    }


def with_key(key: str) -> Exchange[Event]:
    call = EventCalls().record(subject=SUBJECT, type="visit.ended", data=VISIT, idempotency_key=key)
    return core().begin(call)


def test_the_callers_own_idempotency_key_is_sent() -> None:
    assert with_key("turnstile-88-" + "x" * 115).request.headers["Idempotency-Key"].startswith("turnstile-88-")


@pytest.mark.parametrize("key", ["", "x" * 129, "two words", "line\r\nbreak", "schlüssel"])
def test_an_idempotency_key_of_another_form_is_refused(key: str) -> None:
    with pytest.raises(BadInput, match="idempotency key"):
        with_key(key)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ReceiptCalls().get("../admin"),
        lambda: ReceiptCalls().withdraw("rcp_x/give?", subject=SUBJECT),
        lambda: EventCalls().get(""),
        lambda: ProgramCalls().budget("walkers", "2027/03"),
    ],
)
def test_an_id_cannot_lead_to_another_path(call: Callable[[], Call[Any]]) -> None:
    with pytest.raises(BadInput, match="id or name"):
        call()


def test_an_argument_of_another_form_is_refused_without_repeating_it() -> None:
    with pytest.raises(BadInput, match="subject") as caught:
        EventCalls().record(subject="anna maria", type="visit.ended", data={})
    assert "anna" not in str(caught.value)
    assert caught.value.remedy == "Compare it with RecordEvent of tallystick.wire."
    assert caught.value.__cause__ is None


def test_what_is_no_period_is_told_how_periods_are_written() -> None:
    for name in ("march", "2027-13"):
        with pytest.raises(BadInput) as caught:
            ProgramCalls().try_out(PROGRAM, ["2027-02", name])
        assert "a month as 2027-03" in caught.value.remedy


def test_a_request_over_its_bound_is_refused() -> None:
    empty = len(canonical_json({"subject": SUBJECT, "type": "visit.ended", "data": {"x": ""}, "receipt": None}))
    record({"x": "x" * (REQUEST_SIZE_MAX_BYTES - empty)})
    with pytest.raises(BadInput, match="512 KiB"):
        record({"x": "x" * (REQUEST_SIZE_MAX_BYTES - empty + 1)})


def test_a_document_that_is_no_program_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ProgramRejected):
        ProgramCalls().publish({"program": "walkers"})


def offer() -> Call[OfferInHand]:
    return LinkCalls(dice).offer(
        subject=SUBJECT, partner="insurer.example", program="walkers", hint="card ending 4", login="aal2"
    )


def test_the_verifier_of_an_offer_stays_here_and_its_challenge_is_sent() -> None:
    node = GymNode()
    held = ask(offer(), node)
    sent = node.said[0][3]
    assert held.verifier == to_base64url(dice(32))
    assert held.verifier.encode() not in sent
    challenge = to_base64url(hashlib.sha256(held.verifier.encode()).digest())  # RFC 7636, section 4.2, S256
    assert f'"challenge":"{challenge}"'.encode() in sent


def test_an_offer_in_hand_is_not_printed() -> None:
    held = ask(offer(), GymNode())
    assert held.verifier not in repr(held)
    assert held.offer not in repr(held)


def test_an_offer_is_confirmed_with_its_verifier() -> None:
    node = GymNode()
    held = ask(offer(), node)
    assert ask(LinkCalls(dice).confirm(held), node).state == "active"
    assert held.verifier.encode() in node.said[1][3]


@pytest.mark.parametrize("limit", [0, 1001])
def test_a_page_outside_its_bounds_is_refused(limit: int) -> None:
    ClaimCalls().list(limit=1)
    ClaimCalls().list(limit=1000)
    with pytest.raises(BadInput, match="1 to 1000"):
        ClaimCalls().list(limit=limit)


@pytest.mark.parametrize(
    "url", ["node.gym.example", "ftp://node.gym.example", "https://node/?x", "https://me:secret@node"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="address"):
        Core(
            url,
            key="k",
            fingerprint=None,
            descriptor=DESCRIPTOR,
            verify="strict",
            retries_max=0,
            random_bytes=dice,
        )


@pytest.mark.parametrize("key", ["", "two words", "k" * 201, "k\r\nHost: x"])
def test_a_key_that_is_none_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(BadInput, match="API key") as caught:
        Core(
            "https://node.gym.example",
            key=key,
            fingerprint=None,
            descriptor=DESCRIPTOR,
            verify="strict",
            retries_max=0,
            random_bytes=dice,
        )
    assert not key or key not in str(caught.value)


# When it asks again


def pause(answer: Answer | Exception, *, left_s: float = 60, attempts: int = 0) -> float | None:
    exchange = core().begin(record())
    for _ in range(attempts):
        assert exchange.pause(ConnectionError(), left_s=60) is not None
    return exchange.pause(answer, left_s=left_s)


@pytest.mark.parametrize(
    "answer",
    [
        ConnectionError(),
        problem(409, "in_flight"),
        problem(429, "rate_limited"),
        Answer(502, {}, b""),
        Answer(503, {}, b""),
        Answer(504, {}, b""),
    ],
)
def test_it_asks_again_after(answer: Answer | Exception) -> None:
    assert pause(answer) == BACKOFF_FIRST_S / 2


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, OK, b"{}"),
        Answer(302, {"location": "https://elsewhere.example"}, b""),
        problem(400, "invalid_input"),
        problem(401, "key_invalid"),
        problem(409, "receipt_state"),
        problem(422, "idempotency_key_reused"),
        problem(422, "in_flight"),
        problem(500, "internal_error"),
        replace(problem(409, "in_flight"), headers={"content-type": "text/html"}),
    ],
)
def test_it_does_not_ask_again_after(answer: Answer) -> None:
    assert pause(answer) is None


def test_it_waits_longer_each_time_and_then_gives_up() -> None:
    exchange = core(retries_max=6).begin(record())
    waits = [exchange.pause(ConnectionError(), left_s=60) for _ in range(7)]
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, None]


def test_it_asks_again_twice_unless_told_otherwise() -> None:
    assert pause(ConnectionError(), attempts=1) is not None
    assert pause(ConnectionError(), attempts=2) is None


def test_it_does_not_wait_beyond_its_deadline() -> None:
    assert pause(ConnectionError(), left_s=0.26) == 0.25
    assert pause(ConnectionError(), left_s=0.25) is None


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        (Answer(503, {"retry-after": "7"}, b""), 7),
        (problem(429, "rate_limited", retry_after=9), 9),
        (
            replace(
                problem(429, "rate_limited", retry_after=9),
                headers={"content-type": "application/problem+json", "retry-after": "4"},
            ),
            4,
        ),
        (Answer(503, {"retry-after": "0"}, b""), 0.25),
        (Answer(503, {"retry-after": "Fri, 05 Mar 2027 18:02:00 GMT"}, b""), 0.25),
        (Answer(503, {"retry-after": "-1"}, b""), 0.25),
        (Answer(503, {"retry-after": f"{RETRY_AFTER_MAX_S:.0f}"}, b""), RETRY_AFTER_MAX_S),
        (Answer(503, {"retry-after": f"{RETRY_AFTER_MAX_S + 1:.0f}"}, b""), None),
    ],
)
def test_it_waits_as_long_as_it_is_asked_to_within_a_bound(answer: Answer, wait_s: float | None) -> None:
    assert pause(answer) == wait_s


# What a refusal becomes


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "key_invalid", KeyRefused),
        (403, "scope_missing", KeyRefused),
        (403, "receipt_missing", ConsentRefused),
        (409, "receipt_withdrawn", ConsentRefused),
        (403, "purpose_not_allowed", ConsentRefused),
        (403, "field_not_allowed", ConsentRefused),
        (403, "audience_mismatch", ConsentRefused),
        (409, "receipt_state", Conflict),
        (409, "receipt_exists", Conflict),
        (400, "receipt_malformed", NodeProblem),
        (404, "not_found", NotFound),
        (409, "transfer_exists", Conflict),
        (422, "idempotency_key_reused", Conflict),
        (422, "invalid_input", NodeProblem),
        (400, "idempotency_key_missing", NodeProblem),
        (429, "rate_limited", RateLimited),
        (500, "internal_error", NodeFailed),
        (503, "storage_unavailable", NodeFailed),
    ],
)
def test_a_problem_becomes_the_error_of_what_to_do(status: int, code: str, kind: type[NodeProblem]) -> None:
    with pytest.raises(NodeProblem) as caught:
        core().begin(record()).read(problem(status, code))
    assert type(caught.value) is kind


@pytest.mark.parametrize("named", [{}, {"subject": "ana-at-gym", "link": f"lnk_{'a' * 26}"}])
def test_receipts_are_found_by_one_thing_and_a_question_by_none_or_both_is_malformed(named: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        ReceiptCalls().find(**named)


def test_every_reason_that_consent_refuses_by_is_one_that_only_the_subject_can_change() -> None:
    reasons = set(re.findall(r'(?:Reason\(|ReceiptState\.[A-Z]+: )"([a-z_]+)"', inspect.getsource(decide)))
    assert len(reasons) > 15
    assert reasons | {"guardian_missing"} == CONSENT_CODES


def test_an_error_carries_what_the_problem_told() -> None:
    told = problem(409, "event_exists", retryable=True, retry_after=3, server_time=NOW_S, existing_id="evt_1")
    with pytest.raises(Conflict) as caught:
        core().begin(record()).read(told)
    error = caught.value
    assert (error.code, error.status, error.request_id, error.retryable) == ("event_exists", 409, "req_1", True)
    assert (error.retry_after_s, error.server_time_s, error.existing_id) == (3, NOW_S, "evt_1")
    assert str(error) == "[event_exists] It is event_exists. Remedy: Do otherwise."


def test_a_problem_without_a_detail_tells_its_title() -> None:
    with pytest.raises(Conflict) as caught:
        core().begin(record()).read(problem(409, "event_exists", detail=""))
    assert caught.value.problem == "event_exists"


def test_the_status_is_the_one_that_was_sent_and_not_the_one_that_was_written() -> None:
    with pytest.raises(NodeFailed):
        core().begin(record()).read(replace(problem(404, "not_found"), status=500))


def test_what_a_node_says_is_repeated_as_plain_text_of_a_bounded_length() -> None:
    told = Problem(
        type="",
        title="",
        status=400,
        detail="two\nlines\x1b[31m" + "x" * 1000,
        code="c\nd",
        remedy="r",
        request_id="\r",
    )
    error = problem_error(told)
    assert error.problem.startswith("two lines [31m")
    assert (len(error.problem), error.code, error.request_id) == (500, "c d", " ")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (ConnectionError(), NodeUnreachable),
        (Answer(502, {"content-type": "text/html"}, b"<h1>"), NodeUnreachable),
        (Answer(503, {"content-type": "application/problem+json"}, b"[]"), NodeUnreachable),
        (Answer(504, {}, b""), NodeUnreachable),
        (Answer(404, {"content-type": "text/html"}, b"<h1>"), NotFound),
        (Answer(429, {"retry-after": "60"}, b""), RateLimited),
        (Answer(301, {"location": "https://elsewhere.example"}, b""), ReplyForged),
        (Answer(200, {"content-type": "text/html"}, b"{}"), ReplyForged),
        (Answer(200, {}, b"{}"), ReplyForged),
        (Answer(200, OK, b"{}"), ReplyForged),
        (Answer(200, OK, b"not json"), ReplyForged),
    ],
)
def test_an_answer_that_is_not_a_nodes_becomes(answer: Answer | Exception, error: type[TallyError]) -> None:
    with pytest.raises(error) as told:
        core().begin(record()).read(answer)
    # Whoever speaks to several nodes must know which one is down; whatever follows its host is left out.
    assert (" at https://node.gym.example." in str(told.value)) is (error is NodeUnreachable)


@pytest.mark.parametrize("media_type", ["text/html", ""])
def test_a_reply_of_another_media_type_is_refused(media_type: str) -> None:
    node = GymNode()
    told = node.answer("POST", "/v1/claims/ask", {}, b"{}")
    assert told is not None
    call = ClaimCalls().ask(LINK, "2027-03")
    core().begin(call).read(replace(told, status=299, headers={"content-type": "Application/JSON; charset=utf-8"}))
    with pytest.raises(ReplyForged, match="redirect"):
        core().begin(call).read(replace(told, status=300))
    with pytest.raises(ReplyForged, match="media type"):
        core().begin(call).read(replace(told, headers={"content-type": media_type}))


def test_a_malformed_reply_is_refused_without_repeating_it() -> None:
    with pytest.raises(ReplyForged) as caught:
        core().begin(record()).read(Answer(200, OK, b'{"event":"anna"}'))
    assert caught.value.code == "reply_malformed"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_member_that_this_version_does_not_know_is_passed_over() -> None:
    ask(record(), lying(newer=1))


def test_a_body_is_gathered_up_to_its_bound() -> None:
    incoming = Incoming({}, size_max_bytes=REPLY_SIZE_MAX_BYTES)
    incoming.add(bytes(REPLY_SIZE_MAX_BYTES))
    assert len(incoming.body()) == REPLY_SIZE_MAX_BYTES
    with pytest.raises(ReplyForged, match="larger"):
        incoming.add(b"x")


def test_a_compressed_body_is_refused_before_it_is_read() -> None:
    with pytest.raises(ReplyForged, match="compressed"):
        Incoming({"content-encoding": "gzip"}, size_max_bytes=1)


# Journeys


def test_a_visit_is_written_with_the_offset_of_its_place() -> None:
    started_at = datetime(2027, 3, 5, 23, 2, 0, 999, tzinfo=UTC)
    made = journeys.visit(
        facility="north-2",
        started_at=started_at,
        ended_at=started_at.replace(day=6, hour=0),
        time_zone="America/New_York",
    )
    assert made == ("visit.ended", VISIT)


def test_a_membership_is_written_with_the_offset_it_was_given_in() -> None:
    since = datetime(2027, 3, 1, tzinfo=timezone(timedelta(hours=5)))
    data = {"since": "2027-03-01T00:00:00+05:00"}
    assert journeys.membership_activated(since=since) == ("membership.activated", data)
    assert journeys.membership_ended(since=since) == ("membership.ended", data)


@pytest.mark.parametrize(
    ("started_at", "time_zone", "problem"),
    [
        (datetime(2027, 3, 5, 18), "America/New_York", "offset"),  # noqa: DTZ001  # the mistake
        (datetime(2027, 3, 5, 18, tzinfo=UTC), "Mars/Olympus", "not known"),
        (datetime(2027, 3, 5, 18, tzinfo=UTC), "../etc/passwd", "not known"),
        (datetime(2027, 3, 4, 18, tzinfo=UTC), "America/New_York", "more than a day"),
    ],
)
def test_a_visit_is_refused_if_its_times_cannot_be_read(started_at: datetime, time_zone: str, problem: str) -> None:
    with pytest.raises(EventRefused, match=problem):
        journeys.visit(
            facility="north-2",
            started_at=started_at,
            ended_at=datetime(2027, 3, 5, 19, tzinfo=UTC),
            time_zone=time_zone,
        )
