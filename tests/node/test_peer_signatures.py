"""Partners are known by their signature: whoever is not one, not now, not twice, or not for here, is refused."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hostile import (
    Scene,
    app,
    deliver,
    everything,
    nothing_changes,
    partner,
    raw_of,
    refused,
    said_of,
    signed_headers,
)
from sqlalchemy import select, update
from town import link

from tallystick.wire import PEER_CALLS, PeerAsk
from tallystick_consent.sealing import Context, seal_to
from tallystick_ledger.encoding import canonical_json, from_base64url, to_base64url
from tallystick_node.flows.outgoing import PATHS
from tallystick_node.keys.ring import load_keys
from tallystick_node.routes.peers import CALLS, PREFIX
from tallystick_node.storage.tables import DECISIONS, MESSAGES, OFFERS

ASKS = "/peer/v1/asks"
NOBODY = f"lnk_{'b' * 26}"


def ask(link: str = NOBODY, **changes: Any) -> dict[str, Any]:
    return {"link": link, "program": "ins-fit", "version": 1, "period": "2027-03", **changes}


RAW = raw_of(ask())


def test_a_partner_that_signs_as_it_must_is_heard(scene: Scene) -> None:
    """The truth of which each test below changes one thing."""
    heard = partner(scene.insurer, scene.gym, ASKS, ask())
    assert (heard.status_code, heard.json()) == (202, {"status": "accepted"})
    assert "signature" in heard.headers


Change = Callable[[Scene, dict[str, str]], tuple[str, bytes, Mapping[str, str]]]


def _unsigned(_: Scene, headers: dict[str, str]) -> tuple[str, bytes, Mapping[str, str]]:
    return ASKS, RAW, {"Idempotency-Key": headers["Idempotency-Key"]}


def _no_input(_: Scene, headers: dict[str, str]) -> tuple[str, bytes, Mapping[str, str]]:
    return ASKS, RAW, {name: value for name, value in headers.items() if name.lower() != "signature-input"}


def _another_body(_: Scene, headers: dict[str, str]) -> tuple[str, bytes, Mapping[str, str]]:
    return ASKS, RAW.replace(b"2027-03", b"2027-04"), headers


def _another_body_and_its_digest(scene: Scene, headers: dict[str, str]) -> tuple[str, bytes, Mapping[str, str]]:
    raw = RAW.replace(b"2027-03", b"2027-04")
    other = signed_headers(scene.insurer, scene.gym, ASKS, raw)
    return ASKS, raw, {**headers, "Content-Digest": other["Content-Digest"]}


def _no_digest(_: Scene, headers: dict[str, str]) -> tuple[str, bytes, Mapping[str, str]]:
    return ASKS, RAW, {name: value for name, value in headers.items() if name.lower() != "content-digest"}


def _another_key_of_idempotency(_: Scene, headers: dict[str, str]) -> tuple[str, bytes, Mapping[str, str]]:
    return ASKS, RAW, {**headers, "Idempotency-Key": "another"}


def _another_call(_: Scene, headers: dict[str, str]) -> tuple[str, bytes, Mapping[str, str]]:
    return "/peer/v1/links/confirmed", RAW, headers


def _for_another_node(scene: Scene, _: dict[str, str]) -> tuple[str, bytes, Mapping[str, str]]:
    return ASKS, RAW, signed_headers(scene.insurer, scene.track, ASKS, RAW)


def _for_another_node_and_addressed_so(scene: Scene, _: dict[str, str]) -> tuple[str, bytes, Mapping[str, str]]:
    headers = signed_headers(scene.insurer, scene.track, ASKS, RAW)
    return ASKS, RAW, {**headers, "Host": f"127.0.0.1:{scene.track.port}"}


def _a_stranger(scene: Scene, _: dict[str, str]) -> tuple[str, bytes, Mapping[str, str]]:
    key = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
    return ASKS, RAW, signed_headers(scene.insurer, scene.gym, ASKS, RAW, key=key, key_id="http-00000000")


def _a_stranger_under_a_known_name(scene: Scene, _: dict[str, str]) -> tuple[str, bytes, Mapping[str, str]]:
    key = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
    return ASKS, RAW, signed_headers(scene.insurer, scene.gym, ASKS, RAW, key=key)


def _another_partner_under_this_ones_name(scene: Scene, _: dict[str, str]) -> tuple[str, bytes, Mapping[str, str]]:
    key = load_keys(scene.track.folder / "keys").ed25519("http")
    return ASKS, RAW, signed_headers(scene.insurer, scene.gym, ASKS, RAW, key=key)


def _a_key_of_another_role(scene: Scene, _: dict[str, str]) -> tuple[str, bytes, Mapping[str, str]]:
    keys = load_keys(scene.insurer.folder / "keys")
    receipt = {"key": keys.ed25519("receipt"), "key_id": keys.id("receipt")}
    return ASKS, RAW, signed_headers(scene.insurer, scene.gym, ASKS, RAW, **receipt)  # type: ignore[arg-type]


def _the_node_itself(scene: Scene, _: dict[str, str]) -> tuple[str, bytes, Mapping[str, str]]:
    return ASKS, RAW, signed_headers(scene.gym, scene.gym, ASKS, RAW)


LIES: tuple[Change, ...] = (
    _unsigned,
    _no_input,
    _another_body,
    _another_body_and_its_digest,
    _no_digest,
    _another_key_of_idempotency,
    _another_call,
    _for_another_node,
    _for_another_node_and_addressed_so,
    _a_stranger,
    _a_stranger_under_a_known_name,
    _another_partner_under_this_ones_name,
    _a_key_of_another_role,
    _the_node_itself,
)


@pytest.mark.parametrize("lie", LIES, ids=[each.__name__.strip("_") for each in LIES])
def test_what_is_not_signed_as_it_must_be_is_refused_unsigned_and_unheard(scene: Scene, lie: Change) -> None:
    path, raw, headers = lie(scene, signed_headers(scene.insurer, scene.gym, ASKS, RAW))
    with nothing_changes(scene.gym):
        answer = deliver(scene.gym, path, raw, headers)
        refused(answer, 401, "signature_invalid")
    assert "signature" not in answer.headers


def test_every_call_of_the_table_is_answered_here_and_what_is_queued_goes_to_one_of_them() -> None:
    """`/links` alone is called while an app waits, and never queued."""
    assert {PREFIX + path for path in CALLS} == PEER_CALLS.keys()
    assert set(PATHS.values()) == PEER_CALLS.keys() - {"/peer/v1/links"}


def test_headers_of_more_than_8_kib_are_not_read(scene: Scene) -> None:
    headers = signed_headers(scene.insurer, scene.gym, ASKS, RAW)
    with nothing_changes(scene.gym):
        refused(deliver(scene.gym, ASKS, RAW, {**headers, "Signature": "x" * 9_000}), 401, "signature_invalid")


@pytest.mark.parametrize(("seconds", "heard"), [(-301, False), (-299, True), (300, True), (301, False)])
def test_two_clocks_may_differ_by_five_minutes_and_no_more(scene: Scene, seconds: int, heard: bool) -> None:
    now_s = scene.story.clock.at_s
    with nothing_changes(*([] if heard else [scene.gym])):
        answer = partner(scene.insurer, scene.gym, ASKS, ask(), at_s=now_s + seconds)
        if heard:
            assert answer.status_code == 202
        else:
            assert refused(answer, 401, "clock_skew")["server_time"] == now_s


def test_a_request_that_was_seen_is_refused_also_after_a_restart(scene: Scene) -> None:
    headers = signed_headers(scene.insurer, scene.gym, ASKS, RAW)
    assert deliver(scene.gym, ASKS, RAW, headers).status_code == 202
    with nothing_changes(scene.gym):
        refused(deliver(scene.gym, ASKS, RAW, headers), 409, "replay_detected")
    scene.gym.stop()
    scene.gym.start()
    with nothing_changes(scene.gym):
        refused(deliver(scene.gym, ASKS, RAW, headers), 409, "replay_detected")


def test_a_nonce_is_not_used_twice_even_for_something_else(scene: Scene) -> None:
    nonce = "n" * 22
    assert partner(scene.insurer, scene.gym, ASKS, ask(), nonce=nonce).status_code == 202
    with nothing_changes(scene.gym):
        refused(partner(scene.insurer, scene.gym, ASKS, ask(period="2027-05"), nonce=nonce), 409, "replay_detected")
    assert partner(scene.track, scene.gym, ASKS, ask(), nonce=nonce).status_code == 202


def test_a_refused_request_is_remembered_as_seen(scene: Scene) -> None:
    raw = raw_of({"receipt": f"rcp_{'b' * 26}"})
    headers = signed_headers(scene.gym, scene.insurer, "/peer/v1/receipts/refused", raw)
    with nothing_changes(scene.insurer):
        refused(deliver(scene.insurer, "/peer/v1/receipts/refused", raw, headers), 404, "not_found")
        refused(deliver(scene.insurer, "/peer/v1/receipts/refused", raw, headers), 409, "replay_detected")


def test_a_nonce_is_remembered_as_long_as_its_signature_lives(scene: Scene) -> None:
    start_s = scene.story.clock.at_s
    headers = signed_headers(scene.insurer, scene.gym, ASKS, RAW, at_s=start_s + 299)
    assert deliver(scene.gym, ASKS, RAW, headers).status_code == 202
    scene.story.clock.at_s = start_s + 299 + 299
    scene.gym.work()
    refused(deliver(scene.gym, ASKS, RAW, headers), 409, "replay_detected")
    scene.story.clock.at_s += 1
    refused(deliver(scene.gym, ASKS, RAW, headers), 401, "clock_skew")
    # Nobody's clock runs back: the tests that follow go on from here.


# Questions: always the same answer


def _link_of_ana(scene: Scene) -> bytes:
    return raw_of(ask(scene.ana.link))


def _link_without_consent(scene: Scene) -> bytes:
    return raw_of(ask(ben(scene)))


def ben(scene: Scene) -> str:
    """Return the link of somebody who was never asked."""
    found = scene.gym.app().links.find("ben-at-gym").links
    if found:
        return found[0].link
    return link(scene.gym, scene.insurer, at_gym="ben-at-gym", at_insurer="ben-at-ins", town=scene.story).link


QUESTIONS: dict[str, Callable[[Scene], bytes]] = {
    "a link with consent": _link_of_ana,
    "a link without consent": _link_without_consent,
    "no link": lambda _: RAW,
    "another program": lambda scene: raw_of(ask(scene.ana.link, program="other")),
    "another version": lambda scene: raw_of(ask(scene.ana.link, version=2)),
    "a month of long ago": lambda scene: raw_of(ask(scene.ana.link, period="1970-01")),
    "a month that there is not": lambda scene: raw_of(ask(scene.ana.link, period="2027-13")),
    "a year that there is not": lambda scene: raw_of(ask(scene.ana.link, period="9999-12")),
    "a member too many": lambda scene: raw_of(ask(scene.ana.link, more=1)),
    "a member too few": lambda _: b"{}",
    "a version that is no number": lambda scene: raw_of(ask(scene.ana.link, version="1")),
    "a version that is true": lambda scene: raw_of(ask(scene.ana.link, version=True)),
    "a version beyond any": lambda scene: raw_of(ask(scene.ana.link, version=2**70)),
    "a key that stands twice": lambda _: b'{"link":"x",' + RAW[1:],
    "no JSON": lambda _: b"who are you?",
    "no text": lambda _: b"\xff\xfe",
    "nothing": lambda _: b"",
    "a list": lambda _: b"[]",
    "a deep list": lambda _: b"[" * 5_000 + b"]" * 5_000,
    "a deep object": lambda _: b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "a long number": lambda _: b'{"version":' + b"9" * 10_000 + b"}",
    "half a pair": lambda _: b'{"link":"\\ud800"}',
}


def test_every_question_gets_the_same_answer(scene: Scene) -> None:
    """P11: unknown, unlinked, unconsented or nonsense: the same status, body and headers, and no entry in the log."""
    answers = set[tuple[int, tuple[str, ...], bytes]]()
    for question in QUESTIONS.values():
        raw = question(scene)
        heads = everything(scene.gym)["head"]
        status, headers, body = said_of(partner(scene.insurer, scene.gym, ASKS, raw))
        assert everything(scene.gym)["head"] == heads
        answers.add((status, tuple(headers), body))
    assert {(status, body) for status, _, body in answers} == {(202, b'{"status":"accepted"}')}
    assert len(answers) == 1


@pytest.mark.parametrize("question", QUESTIONS, ids=list(QUESTIONS))
def test_no_question_keeps_the_node_from_its_work(scene: Scene, question: str) -> None:
    """What cannot be answered is let go; a question that stopped the clockwork would stop every member's month."""
    partner(scene.insurer, scene.gym, ASKS, QUESTIONS[question](scene))
    heads = everything(scene.gym)["head"]
    scene.story.settle()
    assert everything(scene.gym)["ask"] == []
    assert everything(scene.gym)["head"] == heads


def test_a_question_of_a_partner_about_a_link_with_another_is_not_even_noted(scene: Scene) -> None:
    before = scene.gym.node.rows(select(DECISIONS))
    assert partner(scene.track, scene.gym, ASKS, ask(scene.ana.link, program="other")).status_code == 202
    scene.story.settle()
    assert scene.gym.node.rows(select(DECISIONS)) == before


# Offers: one refusal for all


def half(scene: Scene, caller: str = "gym.example") -> dict[str, str]:
    """Return a half that the insurer opens."""
    company = scene.story.companies[caller]
    insurer = company.node.partners.live("insurer.example")
    return seal_to(
        canonical_json({"half": to_base64url(b"h" * 32), "hint": "member since 2020"}),
        recipient_key=from_base64url(insurer.key("seal").public),
        context=Context(caller, "insurer.example", insurer.key("seal").id, "link"),
        signing_key=company.keys.ed25519("receipt"),
    )


def offer(scene: Scene, subject: str) -> str:
    offered = scene.insurer.app().links.offer(
        subject=subject, partner="gym.example", program="ins-fit", hint="policy ending 21", login="aal2"
    )
    return offered.offer


def take(scene: Scene, code: str, caller: str = "gym.example") -> httpx.Response:
    company = scene.story.companies[caller]
    return partner(company, scene.insurer, "/peer/v1/links", {"offer": code, "half": half(scene, caller)})


def test_an_offer_that_cannot_be_taken_is_refused_in_the_same_bytes_whatever_the_reason(scene: Scene) -> None:
    used, void, expired = offer(scene, "ana-used"), offer(scene, "ana-void"), offer(scene, "ana-expired")
    anothers = offer(scene, "ana-anothers")
    assert take(scene, used).status_code == 200
    offer(scene, "ana-void")
    scene.insurer.node.writer.submit(
        lambda transaction: (
            transaction.execute(
                update(OFFERS).where(OFFERS.c.subject == "ana-expired").values(expires_at_s=transaction.now_s)
            ).rowcount
        )
    ).result(10)
    with nothing_changes(scene.insurer):
        answers = [
            take(scene, f"insurer.example~ins-fit~{'a' * 26}"),
            take(scene, f"insurer.example~other~{'a' * 26}"),
            take(scene, used),
            take(scene, void),
            take(scene, expired),
            take(scene, anothers, caller="track.example"),
        ]
        for answer in answers:
            refused(answer, 409, "offer_refused")
    assert len({(status, tuple(headers), body) for status, headers, body in map(said_of, answers)}) == 1
    assert take(scene, anothers).status_code == 200


@pytest.mark.parametrize(
    "sealed",
    [
        {},
        {"enc": "", "ciphertext": "", "signature": ""},
        {"enc": "AAAA", "ciphertext": "AAAA", "signature": "A" * 86},
        {"enc": "!", "ciphertext": "AAAA", "signature": "A" * 86},
        {"enc": "AAAA", "ciphertext": "AAAA", "signature": "A" * 86, "more": ""},
    ],
    ids=["nothing", "empty", "unsigned", "not base64url", "a member too many"],
)
def test_a_half_that_is_none_leaves_the_offer_open(scene: Scene, sealed: dict[str, str]) -> None:
    code = offer(scene, "ana-half")
    with nothing_changes(scene.insurer):
        answer = partner(scene.gym, scene.insurer, "/peer/v1/links", {"offer": code, "half": sealed})
    assert answer.status_code in (401, 422), answer.text
    refused(answer, answer.status_code, answer.json()["code"])
    assert take(scene, code).status_code == 200


@pytest.mark.parametrize(
    "plain",
    [
        b"{}",
        b'{"half":"' + b"A" * 43 + b'","hint":""}',
        b'{"half":"' + b"A" * 43 + b'","hint":1}',
        b'{"half":"' + b"A" * 42 + b'","hint":"x"}',
        b'{"half":["' + b"A" * 43 + b'"],"hint":"x"}',
        b"\xff" * 100,
        b"",
    ],
    ids=["empty", "no hint", "a number", "short", "a list", "no text", "nothing"],
)
def test_a_half_that_is_sealed_and_signed_but_nonsense_leaves_the_offer_open(scene: Scene, plain: bytes) -> None:
    code = offer(scene, "ana-nonsense")
    insurer = scene.gym.node.partners.live("insurer.example")
    sealed = seal_to(
        plain,
        recipient_key=from_base64url(insurer.key("seal").public),
        context=Context("gym.example", "insurer.example", insurer.key("seal").id, "link"),
        signing_key=scene.gym.keys.ed25519("receipt"),
    )
    with nothing_changes(scene.insurer):
        refused(
            partner(scene.gym, scene.insurer, "/peer/v1/links", {"offer": code, "half": sealed}), 422, "invalid_input"
        )
    assert take(scene, code).status_code == 200


# Signed objects, and calls about what is not the caller's


@pytest.mark.parametrize(
    "path", ["programs", "agreements", "receipts/given", "receipts/withdrawn"], ids=lambda path: path
)
@pytest.mark.parametrize(
    "token",
    ["x", "a.b.c", "..", "e30.e30.AA", "\u00e9", "x" * 65_536],
    ids=["a letter", "three letters", "dots", "no header", "not ASCII", "as long as can be"],
)
def test_what_is_not_a_signed_object_is_refused(scene: Scene, path: str, token: str) -> None:
    with nothing_changes(scene.gym):
        answer = partner(scene.insurer, scene.gym, f"/peer/v1/{path}", {"token": token})
    assert answer.status_code in (401, 422), answer.text
    refused(answer, answer.status_code, answer.json()["code"])


def test_what_was_signed_for_one_call_does_not_pass_in_another(scene: Scene) -> None:
    """Every signed object the gym ever sent, at every call that takes one but its own."""
    sent = select(MESSAGES).where(MESSAGES.c.path.in_([f"/peer/v1/{each}" for each in TAKES_TOKENS]))
    tried = 0
    for caller, to in ((scene.gym, scene.insurer), (scene.insurer, scene.gym)):
        for message in caller.node.rows(sent.where(MESSAGES.c.partner == to.host)):
            for path in TAKES_TOKENS - {message.path.removeprefix("/peer/v1/")}:
                with nothing_changes(to):
                    answer = partner(caller, to, f"/peer/v1/{path}", json.loads(message.body))
                    refused(answer, 401, "signature_invalid")
                tried += 1
    assert tried >= 9


TAKES_TOKENS = {"programs", "agreements", "receipts/given", "receipts/withdrawn"}


def test_another_partner_cannot_pass_on_what_this_one_signed(scene: Scene) -> None:
    for message in scene.gym.node.rows(select(MESSAGES).where(MESSAGES.c.kind == "receipt.given")):
        with nothing_changes(scene.insurer):
            answer = partner(scene.track, scene.insurer, message.path, json.loads(message.body))
            refused(answer, 401, "signature_invalid")


def test_a_partner_cannot_end_refuse_or_confirm_what_is_not_its_own(scene: Scene) -> None:
    pending = scene.insurer.app().receipts.request(ben(scene)).receipt
    scene.story.settle()
    with nothing_changes(scene.insurer, scene.gym):
        refused(
            partner(scene.track, scene.insurer, "/peer/v1/receipts/refused", {"receipt": pending}), 404, "not_found"
        )
        unknown = f"rcp_{'b' * 26}"
        refused(
            partner(scene.track, scene.insurer, "/peer/v1/receipts/refused", {"receipt": unknown}), 404, "not_found"
        )


def test_a_partner_that_confirms_a_link_of_another_confirms_nothing(scene: Scene) -> None:
    code = offer(scene, "ana-unconfirmed")
    scene.gym.app().links.accept(subject="ana-pending", offer=code, hint="member", login="aal2")
    (pending,) = scene.gym.app().links.find("ana-pending").links
    told = partner(scene.track, scene.gym, "/peer/v1/links/confirmed", {"link": pending.link})
    assert (told.status_code, told.json()) == (200, {"token": ""})
    unknown = partner(scene.track, scene.gym, "/peer/v1/links/confirmed", {"link": NOBODY})
    assert unknown.content == told.content
    assert scene.gym.app().links.find("ana-pending").links == (pending,)


def test_a_refusal_of_what_was_given_is_refused(scene: Scene) -> None:
    with nothing_changes(scene.insurer):
        refused(
            partner(scene.gym, scene.insurer, "/peer/v1/receipts/refused", {"receipt": scene.ana.receipt}),
            409,
            "receipt_state",
        )


def test_a_request_for_anything_but_what_both_signed_is_refused(scene: Scene) -> None:
    """Each request is the insurer's own, with one term of it changed."""
    shown = scene.insurer.app().receipts.get(scene.ana.receipt)
    fresh = {**shown.terms, "receipt": f"rcp_{'c' * 26}", "link": ben(scene)}
    lies: dict[str, Any] = {
        "purposes": ["dpv:Marketing"],
        "data_classes": ["membership", "visit", "sleep"],
        "rung": "raw",
        "program_version": 2,
        "retention_s": shown.terms["retention_s"] + 1,
        "reward": "A" * 43,
        "notice": "A" * 43,
    }
    notice = shown.notice.model_dump()
    for name, lie in lies.items():
        with nothing_changes(scene.gym):
            answer = partner(
                scene.insurer,
                scene.gym,
                "/peer/v1/receipts/requested",
                {"terms": {**fresh, name: lie}, "notice": notice},
            )
            refused(answer, 409, "purpose_not_allowed")
    others = {"link": NOBODY, "issuer": "track.example", "recipient": "track.example", "version": 2}
    for name, lie in others.items():
        with nothing_changes(scene.gym):
            answer = partner(
                scene.insurer,
                scene.gym,
                "/peer/v1/receipts/requested",
                {"terms": {**fresh, name: lie}, "notice": notice},
            )
            refused(answer, 404, "not_found")
    with nothing_changes(scene.gym):
        words = {**notice, "statement": "Press yes."}
        answer = partner(scene.insurer, scene.gym, "/peer/v1/receipts/requested", {"terms": fresh, "notice": words})
        refused(answer, 409, "purpose_not_allowed")


@pytest.mark.parametrize("member", ["events_until_s", "valid_until_s"])
def test_a_request_for_longer_than_both_signed_is_refused(scene: Scene, member: str) -> None:
    shown = scene.insurer.app().receipts.get(scene.ana.receipt)
    longer = {**shown.terms, "receipt": f"rcp_{'d' * 26}", "link": ben(scene), member: shown.terms[member] + 86_400}
    body = {"terms": longer, "notice": shown.notice.model_dump()}
    with nothing_changes(scene.gym):
        refused(partner(scene.insurer, scene.gym, "/peer/v1/receipts/requested", body), 409, "purpose_not_allowed")


@pytest.mark.parametrize("path", ["", "nothing", "asks/", "asks/more", "../v1/events", "receipts"])
def test_a_call_that_there_is_not_is_refused_and_signed(scene: Scene, path: str) -> None:
    with nothing_changes(scene.gym):
        answer = partner(scene.insurer, scene.gym, f"/peer/v1/{path}", ask())
    if "signature" in answer.headers:
        refused(answer, 422, "invalid_input")
    else:
        assert answer.status_code in (401, 404), answer.text


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b'{"link":1}', b'{"link":"x","link":"y"}', b"\xff", b"[" * 5_000 + b"]" * 5_000],
    ids=["nothing", "half", "a list", "a number", "twice", "no text", "deep"],
)
def test_a_body_that_is_not_of_its_form_is_refused_and_signed(scene: Scene, raw: bytes) -> None:
    with nothing_changes(scene.gym):
        answer = partner(scene.insurer, scene.gym, "/peer/v1/links/confirmed", raw)
        refused(answer, 422, "invalid_input")
    assert "signature" in answer.headers


def test_a_key_that_stands_twice_in_a_body_that_is_otherwise_right_is_refused(scene: Scene) -> None:
    """Two readers of such a body could each take another one of the two."""
    raw = f'{{"link":"{scene.ana.link}","link":"{scene.ana.link}"}}'.encode()
    with nothing_changes(scene.gym):
        refused(partner(scene.insurer, scene.gym, "/peer/v1/links/confirmed", raw), 422, "invalid_input")


def test_a_nested_document_from_a_partner_is_bounded(scene: Scene) -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    shown = scene.insurer.app().receipts.get(scene.ana.receipt)
    body = {"terms": {**shown.terms, "more": deep}, "notice": shown.notice.model_dump()}
    with nothing_changes(scene.gym):
        refused(partner(scene.insurer, scene.gym, "/peer/v1/receipts/requested", body), 422, "invalid_input")


def test_the_question_of_an_app_of_ours_is_bounded_like_a_partners(scene: Scene) -> None:
    with nothing_changes(scene.insurer):
        asked = {"link": scene.ana.link, "period": "2027-13"}
        refused(app(scene.insurer, "/v1/claims/ask", asked), 422, "invalid_input")
    assert PeerAsk.model_validate(ask(scene.ana.link)).period == "2027-03"
