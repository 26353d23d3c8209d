"""P10: the same key and body get the same reply, another body is refused; on every write, one row of a table each."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, cast

import pytest
from hostile import HTTP, Scene, app, everything, log_size, nothing_changes, partner, refused
from sqlalchemy import select
from town import Company, Membership, consent, evidence, fitness_program, link

from tallystick_consent.receipts.authority import Authority
from tallystick_consent.sealing import Context, seal_to
from tallystick_ledger.encoding import canonical_json, from_base64url, to_base64url
from tallystick_node.flows.subjects.burying import SPREAD_S
from tallystick_node.operator.clock import accept_clock
from tallystick_node.storage.tables import EVENTS, IDEMPOTENCY, LINKS, MESSAGES


class Write(NamedTuple):
    """A write, ready to be sent: where, what, and another body of the same form."""

    company: Company
    path: str
    body: dict[str, Any]
    other: dict[str, Any]
    status: int = 200


_people = iter(range(1, 10_000))


def someone(scene: Scene) -> Membership:
    """Return a person who has linked her two accounts."""
    number = next(_people)
    return link(
        scene.gym, scene.insurer, at_gym=f"ben-at-gym-{number}", at_insurer=f"ben-at-ins-{number}", town=scene.story
    )


def asked(scene: Scene) -> Membership:
    """Return a person whom the insurer has asked for consent."""
    person = someone(scene)
    person.receipt = scene.insurer.app().receipts.request(person.link).receipt
    scene.story.settle()
    return person


def offered(scene: Scene, subject: str) -> Any:
    return scene.insurer.app().links.offer(
        subject=subject, partner="gym.example", program="ins-fit", hint="policy ending 21", login="aal2"
    )


def offer_link(scene: Scene) -> Write:
    body = {
        "subject": "cleo-at-ins",
        "partner": "gym.example",
        "program": "ins-fit",
        "hint": "policy ending 21",
        "login": "aal2",
        "challenge": "a" * 43,
    }
    return Write(scene.insurer, "/v1/links/offers", body, {**body, "login": "aal1"}, 201)


def accept_link(scene: Scene) -> Write:
    number = next(_people)
    offer = offered(scene, f"cleo-at-ins-{number}").offer
    body = {"subject": f"cleo-at-gym-{number}", "offer": offer, "hint": "member since 2020", "login": "aal2"}
    return Write(scene.gym, "/v1/links/accept", body, {**body, "login": "aal1"}, 201)


def confirm_link(scene: Scene) -> Write:
    number = next(_people)
    offer = offered(scene, f"cleo-at-ins-{number}")
    scene.gym.app().links.accept(subject=f"cleo-at-gym-{number}", offer=offer.offer, hint="member", login="aal2")
    body = {"offer": offer.offer, "verifier": offer.verifier}
    return Write(scene.insurer, "/v1/links/confirm", body, {**body, "verifier": "a" * 43})


def request_receipt(scene: Scene) -> Write:
    body = {"link": someone(scene).link}
    return Write(scene.insurer, "/v1/receipts/request", body, {**body, "events_from": 0}, 201)


def give_receipt(scene: Scene) -> Write:
    person = asked(scene)
    body = {"subject": person.at_gym, "evidence": evidence().model_dump(exclude_none=True)}
    other = {**body, "evidence": {**body["evidence"], "login": "aal3"}}  # type: ignore[dict-item]
    return Write(scene.gym, f"/v1/receipts/{person.receipt}/give", body, other)


def approve_receipt(scene: Scene) -> Write:
    person = someone(scene)
    holders = Authority(kind="joint", needed=2)
    scene.gym.office().standings.record(person.at_gym, kind="joint", speakers=["ana", "ben"], needed=2)
    person.receipt = scene.insurer.app().receipts.request(person.link, authority=holders).receipt
    scene.story.settle()
    body = {"subject": person.at_gym, "evidence": evidence().model_dump(exclude_none=True), "by": "ana"}
    return Write(scene.gym, f"/v1/receipts/{person.receipt}/approve", body, {**body, "by": "ben"})


def refuse_receipt(scene: Scene) -> Write:
    person = asked(scene)
    path = f"/v1/receipts/{person.receipt}/refuse"
    return Write(scene.gym, path, {"subject": person.at_gym}, {"subject": "ana-at-gym"})


def withdraw_receipt(scene: Scene) -> Write:
    person = consent(someone(scene), scene.story)
    path = f"/v1/receipts/{person.receipt}/withdraw"
    return Write(scene.gym, path, {"subject": person.at_gym}, {"subject": "ana-at-gym"})


def defer_receipt(scene: Scene) -> Write:
    person = asked(scene)
    path = f"/v1/receipts/{person.receipt}/defer"
    return Write(scene.gym, path, {"subject": person.at_gym}, {"subject": "ana-at-gym"})


def pause_receipt(scene: Scene) -> Write:
    person = consent(someone(scene), scene.story)
    path = f"/v1/receipts/{person.receipt}/pause"
    return Write(scene.gym, path, {"subject": person.at_gym}, {"subject": "ana-at-gym"})


def renew_receipt(scene: Scene) -> Write:
    person = consent(someone(scene), scene.story)
    body = {"subject": person.at_gym, "evidence": evidence().model_dump(exclude_none=True)}
    other = {**body, "evidence": {**body["evidence"], "login": "aal3"}}  # type: ignore[dict-item]
    return Write(scene.gym, f"/v1/receipts/{person.receipt}/renew", body, other)


def revoke_receipt(scene: Scene) -> Write:
    return Write(scene.insurer, f"/v1/receipts/{consent(someone(scene), scene.story).receipt}/revoke", {}, {})


def invalidate_receipt(scene: Scene) -> Write:
    return Write(scene.gym, f"/v1/receipts/{consent(someone(scene), scene.story).receipt}/invalidate", {}, {})


def narrow_receipt(scene: Scene) -> Write:
    person = consent(someone(scene), scene.story)
    body = {"subject": person.at_gym, "evidence": evidence().model_dump(exclude_none=True), "rung": "token"}
    return Write(scene.gym, f"/v1/receipts/{person.receipt}/narrow", body, {**body, "without_classes": ["membership"]})


def request_version(scene: Scene) -> Write:
    person = consent(someone(scene), scene.story)
    return Write(scene.insurer, f"/v1/receipts/{person.receipt}/versions/request", {}, {}, 201)


def with_a_version_asked_for(scene: Scene) -> Membership:
    person = consent(someone(scene), scene.story)
    scene.insurer.app().receipts.request_version(person.receipt)
    scene.story.settle()
    return person


def give_version(scene: Scene) -> Write:
    person = with_a_version_asked_for(scene)
    body = {"subject": person.at_gym, "evidence": evidence().model_dump(exclude_none=True)}
    other = {**body, "evidence": {**body["evidence"], "login": "aal3"}}  # type: ignore[dict-item]
    return Write(scene.gym, f"/v1/receipts/{person.receipt}/versions/give", body, other)


def refuse_version(scene: Scene) -> Write:
    person = with_a_version_asked_for(scene)
    path = f"/v1/receipts/{person.receipt}/versions/refuse"
    return Write(scene.gym, path, {"subject": person.at_gym}, {"subject": "ana-at-gym"})


def record_event(scene: Scene) -> Write:
    body = {"subject": "ana-at-gym", "type": "membership.activated", "data": {"since": "2027-02-27T09:00:00-05:00"}}
    return Write(scene.gym, "/v1/events", body, {**body, "data": {"since": "2027-02-27T09:00:00-06:00"}}, 201)


def correct_event(scene: Scene) -> Write:
    data = {"since": "2027-02-27T09:00:00-05:00"}
    record = scene.gym.app().events.record
    first, second = (record(subject="ana-at-gym", type="membership.activated", data=data).event for _ in range(2))
    body = {"subject": "ana-at-gym", "event": first}
    return Write(scene.gym, "/v1/corrections", body, {**body, "event": second}, 201)


def publish_program(scene: Scene) -> Write:
    number = next(_people)
    program = {**fitness_program(issuers=("gym.example",)), "program": f"ins-{number}"}
    return Write(scene.insurer, "/v1/programs", {"program": program}, {"program": {**program, "title": "Another"}}, 201)


def accept_program(scene: Scene) -> Write:
    number = next(_people)
    scene.insurer.app().programs.publish({**fitness_program(issuers=("gym.example",)), "program": f"ins-{number}"})
    scene.story.settle()
    return Write(scene.gym, f"/v1/programs/ins-{number}/1/accept", {}, {})


def ask_claim(scene: Scene) -> Write:
    body = {"link": scene.ana.link, "period": "2027-03"}
    return Write(scene.insurer, "/v1/claims/ask", body, {**body, "period": "2027-04"}, 202)


def record_standing(scene: Scene) -> Write:
    body = {"subject": "cleo-at-gym", "kind": "minor", "speakers": ["ana-at-gym"], "of_age_from": 2_000_000_000}
    return Write(scene.gym, "/v1/standings", body, {**body, "speakers": ["ben-at-gym"]})


def write_letter(scene: Scene) -> Write:
    return Write(scene.gym, "/v1/letters", {"subject": someone(scene).at_gym}, {"subject": "ana-at-gym"}, 201)


def serve(scene: Scene) -> Write:
    person = asked(scene)
    code = scene.gym.app().desk.letter(person.at_gym).code
    told = {"subject": person.at_gym, "code": code, "channel": "phone", "agent": "staff-12"}
    refuse = {**told, "kind": "refuse", "receipt": person.receipt}
    return Write(scene.gym, "/v1/desk", refuse, {**refuse, "channel": "desk"})


def match_link(scene: Scene) -> Write:
    number = next(_people)
    offer = scene.insurer.app().links.offer(
        subject=f"dov-{number}", partner="gym.example", program="ins-fit", hint="p", login="aal2", channel="letter"
    )
    found = {"candidates": [f"dov-at-gym-{number}"], "hint": "member", "login": "aal2", "channel": "desk", "agent": "s"}
    body = {"offer": offer.offer, **found}
    return Write(scene.gym, "/v1/links/match", body, {**body, "hint": "another"}, 201)


def erase_subject(scene: Scene) -> Write:
    body = {"subject": someone(scene).at_gym}
    return Write(scene.gym, "/v1/erasures", body, {**body, "even_unknown": True}, 202)


def contest_decision(scene: Scene) -> Write:
    """A question while she has paused is refused, and its subject contests that."""
    person = consent(someone(scene), scene.story)
    scene.gym.app().receipts.pause(person.receipt, subject=person.at_gym)
    scene.story.settle()
    ask = {"link": person.link, "program": "ins-fit", "version": 1, "period": "2027-03"}
    partner(scene.insurer, scene.gym, "/peer/v1/asks", ask)
    scene.story.settle()
    (refusal,) = scene.gym.app().decisions.why(person.at_gym).explanations
    body = {"subject": person.at_gym, "decision": refusal.decision, "ground": "count_wrong"}
    return Write(scene.gym, "/v1/decisions/contest", body, {**body, "ground": "should_not_be_refused"}, 201)


def answer_contest(scene: Scene) -> Write:
    contested = contest_decision(scene)
    made = app(contested.company, contested.path, contested.body, once=f"contest-{next(_people)}").json()
    said = {"outcome": "declined", "because": "rule_applied", "agent": "staff-7"}
    body = {"subject": contested.body["subject"], "contest": made["contest"], **said}
    return Write(scene.gym, "/v1/decisions/contests/answer", body, {**body, "because": "manifestly_unfounded"}, 200)


def answer_request(scene: Scene) -> Write:
    """Of an erasure, which is granted, and is so no more by the time that it is asked for again."""
    served = serve(scene)
    asked = {**{name: each for name, each in served.body.items() if name != "receipt"}, "kind": "erase"}
    made = app(served.company, served.path, asked, once=f"erase-{next(_people)}").json()
    body = {"subject": served.body["subject"], "request": made["act"], "outcome": "granted", "agent": "staff-7"}
    other = {**body, "outcome": "declined", "because": "legal_claims"}
    return Write(scene.gym, "/v1/desk/answers", body, other, 200)


def delay_answer(scene: Scene) -> Write:
    served = serve(scene)
    asked = {**{name: each for name, each in served.body.items() if name != "receipt"}, "kind": "erase"}
    made = app(served.company, served.path, asked, once=f"delay-{next(_people)}").json()
    body = {"subject": served.body["subject"], "of": made["act"], "because": "complex", "channel": "letter"}
    body["agent"] = "staff-7"
    return Write(scene.gym, "/v1/desk/delays", body, {**body, "because": "many_requests"}, 200)


WRITES: tuple[Callable[[Scene], Write], ...] = (
    offer_link,
    accept_link,
    confirm_link,
    request_receipt,
    give_receipt,
    approve_receipt,
    refuse_receipt,
    withdraw_receipt,
    record_standing,
    write_letter,
    serve,
    match_link,
    defer_receipt,
    pause_receipt,
    renew_receipt,
    revoke_receipt,
    invalidate_receipt,
    narrow_receipt,
    request_version,
    give_version,
    refuse_version,
    record_event,
    correct_event,
    publish_program,
    accept_program,
    ask_claim,
    erase_subject,
    contest_decision,
    answer_contest,
    answer_request,
    delay_answer,
)
TELL_OF_NOBODY = (publish_program, accept_program, erase_subject, answer_request)
on_every_write = pytest.mark.parametrize("write", WRITES, ids=[each.__name__ for each in WRITES])


def test_every_write_of_the_app_api_is_in_the_table(scene: Scene) -> None:
    described = HTTP.get(scene.gym.url + "/openapi.json").json()["paths"]
    writes = {path for path, methods in described.items() if path.startswith("/v1/") and "post" in methods}
    reads = {path for path in writes if path.endswith(("/search", "/try")) or path.startswith("/v1/proofs/")}
    assert len(writes - reads) == len(WRITES)


@on_every_write
def test_the_same_key_and_body_get_the_same_reply_and_nothing_more_happens(
    scene: Scene, write: Callable[[Scene], Write]
) -> None:
    ready, key = write(scene), f"again-{write.__name__}"
    first = app(ready.company, ready.path, ready.body, once=key)
    assert (first.status_code, first.headers.get("idempotency-replayed")) == (ready.status, None), first.text
    kept = ready.company.node.row(select(IDEMPOTENCY.c.subject).where(IDEMPOTENCY.c.key == key))
    assert kept is not None
    assert (kept.subject == "") == (write in TELL_OF_NOBODY), "a reply about somebody is erased with that one"
    with nothing_changes(scene.gym, scene.insurer):
        second = app(ready.company, ready.path, ready.body, once=key)
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert second.headers["idempotency-replayed"] == "true"
    with nothing_changes(scene.gym, scene.insurer):
        if ready.other == ready.body:
            other = app(ready.company, "/v1/programs/another/1/accept", ready.other, once=key)
        else:
            other = app(ready.company, ready.path, ready.other, once=key)
        refused(other, 422, "idempotency_key_reused")


@pytest.fixture(scope="module", params=WRITES, ids=[each.__name__ for each in WRITES])
def ready(scene: Scene, request: pytest.FixtureRequest) -> Write:
    """Each write in turn, made ready once: what is refused leaves it ready for who comes next."""
    return cast("Callable[[Scene], Write]", request.param)(scene)


def test_a_write_needs_a_key_of_visible_ascii_and_without_one_nothing_happens(scene: Scene, ready: Write) -> None:
    with nothing_changes(scene.gym, scene.insurer):
        refused(app(ready.company, ready.path, ready.body, once=None), 400, "idempotency_key_missing")
        refused(app(ready.company, ready.path, ready.body, once="k" * 129), 400, "idempotency_key_missing")
        refused(app(ready.company, ready.path, ready.body, once="two words"), 400, "idempotency_key_missing")
        not_ascii: Any = {"Idempotency-Key": "ключ".encode()}
        refused(app(ready.company, ready.path, ready.body, headers=not_ascii), 400, "idempotency_key_missing")


def test_a_body_of_another_form_does_not_burn_the_key(
    scene: Scene, ready: Write, request: pytest.FixtureRequest
) -> None:
    key = ("k" * 128 + request.node.callspec.id)[-128:]
    with nothing_changes(scene.gym, scene.insurer):
        refused(app(ready.company, ready.path, {**ready.body, "more": 1}, once=key), 422, "invalid_input")
        refused(app(ready.company, ready.path, content=b"{", once=key), 422, "invalid_input")
    assert app(ready.company, ready.path, ready.body, once=key).status_code == ready.status


def test_a_write_that_the_rules_refuse_does_not_burn_the_key(scene: Scene) -> None:
    person = asked(scene)
    body = {"subject": person.at_gym, "type": "membership.activated", "data": {"since": "2027-02-27T09:00:00-05:00"}}
    refused(app(scene.gym, "/v1/events", body, once="refused-first"), 409, "receipt_missing")
    scene.gym.app().receipts.give(person.receipt, subject=person.at_gym, evidence=evidence())
    assert app(scene.gym, "/v1/events", body, once="refused-first").status_code == 201


def test_an_unreadable_spelling_of_the_same_body_is_the_same_body(scene: Scene) -> None:
    ready = record_event(scene)
    first = app(ready.company, ready.path, ready.body, once="spelling")
    spaced = (
        b'{ "type": "membership.activated", "data": {"since":"2027-02-27T09:00:00-05:00"}, "subject": "ana-at-gym" }'
    )
    second = app(ready.company, ready.path, content=spaced, once="spelling")
    assert (second.content, second.headers["idempotency-replayed"]) == (first.content, "true")


def test_two_apps_of_one_company_may_use_the_same_word_as_key(scene: Scene) -> None:
    ready = record_event(scene)
    first = app(ready.company, ready.path, ready.body, once="shared-word")
    second = app(ready.company, ready.path, ready.body, once="shared-word", key=scene.gym.key("events:write"))
    assert second.status_code == 201
    assert first.json()["event"] != second.json()["event"]


def test_twenty_callers_at_once_with_one_key_record_one_event(scene: Scene) -> None:
    ready = record_event(scene)
    before = len(scene.gym.node.rows(select(EVENTS.c.id)))
    with ThreadPoolExecutor(20) as callers:
        replies = list(callers.map(lambda _: app(ready.company, ready.path, ready.body, once="all-at-once"), range(20)))
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.content for reply in replies}) == 1
    assert sum("idempotency-replayed" in reply.headers for reply in replies) == 19
    assert len(scene.gym.node.rows(select(EVENTS.c.id))) == before + 1


def test_a_reply_is_kept_for_thirty_days(scene: Scene) -> None:
    ready = record_event(scene)
    start_s = scene.story.clock.at_s
    first = app(ready.company, ready.path, ready.body, once="a-month")
    scene.story.clock.at_s = start_s + 30 * 86_400 - 1
    scene.gym.work()
    assert app(ready.company, ready.path, ready.body, once="a-month").content == first.content
    scene.story.clock.at_s = start_s
    for company in scene.story.companies.values():
        accept_clock(company.folder, clock=scene.story.clock)


@pytest.mark.long
def test_every_message_between_partners_is_applied_once_however_often_it_arrives(scene: Scene) -> None:
    """Each message that one node has delivered to another is delivered again, signed anew, under its own key."""
    person = consent(someone(scene), scene.story)
    scene.insurer.app().claims.ask(person.link, "2027-03")
    scene.gym.app().receipts.pause(person.receipt, subject=person.at_gym)
    scene.gym.app().receipts.renew(person.receipt, subject=person.at_gym, evidence=evidence())
    more = with_a_version_asked_for(scene)
    scene.gym.app().receipts.refuse_version(more.receipt, subject=more.at_gym)
    scene.gym.app().subjects.erase(someone(scene).at_gym)
    scene.story.clock.at_s += SPREAD_S
    no = asked(scene)
    scene.gym.app().receipts.defer(no.receipt, subject=no.at_gym)
    scene.gym.app().receipts.refuse(no.receipt, subject=no.at_gym)
    scene.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    scene.story.settle()
    kinds = set()
    for caller, to in ((scene.gym, scene.insurer), (scene.insurer, scene.gym)):
        first = {exchange.request: exchange.response for exchange in caller.recorder.exchanges}
        kept = (MESSAGES.c.state == "delivered", MESSAGES.c.body.is_not(None))  # those of the erased are empty
        delivered = select(MESSAGES).where(MESSAGES.c.partner == to.host, *kept)
        for message in caller.node.rows(delivered):
            with nothing_changes(to):
                again = partner(caller, to, message.path, message.body.encode(), once=message.id)
            assert again.content == first[message.body.encode()]
            kinds.add(message.path.removeprefix("/peer/v1/"))
            with nothing_changes(to):
                other = {"link": f"lnk_{'b' * 26}"} if message.path.endswith("confirmed") else b'{"token":"x"}'
                if not message.path.endswith("asks"):
                    assert partner(caller, to, message.path, other, once=message.id).status_code == 422
    assert kinds == {
        "links/confirmed",
        "programs",
        "agreements",
        "receipts/requested",
        "receipts/given",
        "receipts/refused",
        "receipts/withdrawn",
        "receipts/version-refused",
        "receipts/deferred",
        "receipts/renewed",
        "receipts/stopped",
        "erasures",
        "asks",
    }


def test_a_half_that_arrives_twice_makes_one_link(scene: Scene) -> None:
    offer = offered(scene, "cleo-twice-at-ins")
    half = canonical_json({"half": to_base64url(b"h" * 32), "hint": "member since 2020"})
    insurer = scene.gym.node.partners.live("insurer.example")
    sealed = seal_to(
        half,
        recipient_key=from_base64url(insurer.key("seal").public),
        context=Context("gym.example", "insurer.example", insurer.key("seal").id, "link"),
        signing_key=scene.gym.keys.ed25519("receipt"),
    )
    body = {"offer": offer.offer, "half": sealed}
    first = partner(scene.gym, scene.insurer, "/peer/v1/links", body, once="one-half")
    links = len(scene.insurer.node.rows(select(LINKS.c.id)))
    with nothing_changes(scene.insurer):
        second = partner(scene.gym, scene.insurer, "/peer/v1/links", body, once="one-half")
    assert (first.status_code, second.content) == (200, first.content)
    assert len(scene.insurer.node.rows(select(LINKS.c.id))) == links
    with nothing_changes(scene.insurer):
        refused(partner(scene.gym, scene.insurer, "/peer/v1/links", body), 409, "offer_refused")


def test_a_second_giving_and_a_second_withdrawal_under_new_keys_are_refused(scene: Scene) -> None:
    person = asked(scene)
    give = {"subject": person.at_gym, "evidence": evidence().model_dump(exclude_none=True)}
    path = f"/v1/receipts/{person.receipt}"
    assert app(scene.gym, f"{path}/give", give).status_code == 200
    scene.story.settle()
    with nothing_changes(scene.gym, scene.insurer):
        refused(app(scene.gym, f"{path}/give", give), 409, "receipt_state")
        refused(app(scene.gym, f"{path}/refuse", {"subject": person.at_gym}), 409, "receipt_state")
    assert app(scene.gym, f"{path}/withdraw", {"subject": person.at_gym}).status_code == 200
    scene.story.settle()
    with nothing_changes(scene.gym, scene.insurer):
        refused(app(scene.gym, f"{path}/withdraw", {"subject": person.at_gym}), 409, "receipt_state")
        refused(app(scene.gym, f"{path}/give", give), 409, "receipt_state")


def test_a_receipt_is_not_given_refused_or_withdrawn_by_another_subject(scene: Scene) -> None:
    person = asked(scene)
    path, unknown = f"/v1/receipts/{person.receipt}", f"/v1/receipts/rcp_{'a' * 26}"
    give = {"subject": "ana-at-gym", "evidence": evidence().model_dump(exclude_none=True)}
    with nothing_changes(scene.gym, scene.insurer):
        for verb, body in (
            ("give", give),
            ("refuse", {"subject": "ana-at-gym"}),
            ("withdraw", {"subject": "ana-at-gym"}),
            ("defer", {"subject": "ana-at-gym"}),
            ("pause", {"subject": "ana-at-gym"}),
            ("renew", give),
        ):
            refused(app(scene.gym, f"{path}/{verb}", body), 404, "not_found")
            refused(app(scene.gym, f"{unknown}/{verb}", body), 404, "not_found")
        refused(app(scene.gym, unknown, method="GET"), 404, "not_found")


def test_a_recipient_cannot_give_in_its_subjects_name(scene: Scene) -> None:
    """The insurer holds the same receipt, and its own app vouches for its own customer: still not its to give."""
    person = asked(scene)
    give = {"subject": person.at_insurer, "evidence": evidence().model_dump(exclude_none=True)}
    with nothing_changes(scene.gym, scene.insurer):
        refused(app(scene.insurer, f"/v1/receipts/{person.receipt}/give", give), 404, "not_found")


def test_what_was_refused_here_left_both_logs_without_a_gap(scene: Scene) -> None:
    scene.story.settle()
    for company in (scene.gym, scene.insurer):
        for index in range(log_size(company)):
            assert app(company, f"/v1/proofs/{index}", method="GET").status_code == 200
    assert everything(scene.gym)["idempotency"]
