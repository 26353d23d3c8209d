"""Erasures that are refused, with nothing half done: another's request, another's link, an answer to something else."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hostile import Scene, app, everything, nothing_changes, partner, refused
from sqlalchemy import delete, select
from sqlmodel import SQLModel
from town import Company, Membership, consent, evidence, link

from tallystick_consent.erasure import FIELDS, ErasureAttestation, ErasureRequest, FieldAnswer
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.authority import Authority
from tallystick_consent.replay import TIME_SLACK_S
from tallystick_consent.signed import SignedObject, sign_object, signed_digest
from tallystick_ledger.encoding import new_id
from tallystick_ledger.errors import SignatureRejected
from tallystick_node.flows.subjects.burying import LINKED_BY, NAMED_BY, SPREAD_S
from tallystick_node.flows.subjects.erasure_asking import ask_partner, attested, due_erasures
from tallystick_node.flows.subjects.erasure_attesting import ASKED_MAX
from tallystick_node.keys.custody_tables import DESTROYED, TOMBSTONES
from tallystick_node.storage.database import writing
from tallystick_node.storage.tables import BURIED, CLAIMS, ERASURES, MESSAGES, RECEIPTS

_numbers = iter(range(1, 1_000))


def someone(scene: Scene) -> Membership:
    """Return a person who has linked her two accounts, and consented."""
    number = next(_numbers)
    person = link(scene.gym, scene.insurer, at_gym=f"ben-{number}", at_insurer=f"ben-at-ins-{number}", town=scene.story)
    return consent(person, scene.story)


def request(person: Membership, **changes: Any) -> ErasureRequest:
    """Return the request that the gym makes for a person, changed."""
    said = {
        "erasure": new_id("era", bytes([next(_numbers) % 256] * 16)),
        "origin": "gym.example",
        "partner": "insurer.example",
        "link": person.link,
        "receipts": (person.receipt,),
        "at": person.gym.clock.at_s,
    }
    return ErasureRequest(**{**said, **changes})


def signed(company: Company, content: SignedObject) -> str:
    return sign_object(content, key_id=company.keys.id("receipt"), private_key=company.keys.ed25519("receipt"))


def ask(scene: Scene, caller: Company, token: str) -> Any:
    return partner(caller, scene.insurer, "/peer/v1/erasures", {"token": token})


def test_a_request_in_anothers_name_or_to_another_is_refused(scene: Scene) -> None:
    person = someone(scene)
    with nothing_changes(scene.insurer):
        for changes in ({"origin": "track.example"}, {"partner": "bank.example"}):
            refused(ask(scene, scene.gym, signed(scene.gym, request(person, **changes))), 409, "receipt_malformed")
        forged = sign_object(
            request(person), key_id=scene.gym.keys.id("receipt"), private_key=scene.track.keys.ed25519("receipt")
        )
        refused(ask(scene, scene.gym, forged), 401, "signature_invalid")


def test_a_partner_erases_no_link_but_its_own(scene: Scene) -> None:
    """The running track asks for the gym's link: it is told no more than of a link that nobody has."""
    person = someone(scene)
    with nothing_changes(scene.insurer):
        mine = request(person, origin="track.example")
        refused(ask(scene, scene.track, signed(scene.track, mine)), 404, "not_found")
        nowhere = request(person, link=f"lnk_{'a' * 26}")
        refused(ask(scene, scene.gym, signed(scene.gym, nowhere)), 404, "not_found")


def test_a_request_names_no_receipt_of_another_link(scene: Scene) -> None:
    """Attested, it would stand in the insurer's own ledger for good that another customer's live receipt is over."""
    ana, ben = someone(scene), someone(scene)
    with nothing_changes(scene.insurer):
        wide = request(ana, receipts=(ana.receipt, ben.receipt))
        refused(ask(scene, scene.gym, signed(scene.gym, wide)), 409, "receipt_malformed")
    never_asked_for = request(ana, receipts=(ana.receipt, f"rcp_{'a' * 26}"))
    assert ask(scene, scene.gym, signed(scene.gym, never_asked_for)).status_code == 200


def test_a_request_that_comes_twice_is_answered_alike_and_another_under_its_id_is_refused(scene: Scene) -> None:
    person = someone(scene)
    token = signed(scene.gym, request(person))
    first = ask(scene, scene.gym, token)
    assert first.status_code == 200
    again = ask(scene, scene.gym, token)
    assert again.json() == first.json()
    (row,) = scene.insurer.node.rows(select(ERASURES).where(ERASURES.c.link == person.link))
    other = request(person, erasure=row.id, receipts=())
    refused(ask(scene, scene.gym, signed(scene.gym, other)), 404, "not_found")
    assert len(scene.insurer.node.rows(select(ERASURES).where(ERASURES.c.link == person.link))) == 1
    (receipt,) = scene.insurer.node.rows(select(RECEIPTS).where(RECEIPTS.c.id == person.receipt))
    assert receipt.state == "withdrawn"


def test_a_partner_that_asks_and_asks_for_one_link_does_not_fill_the_ledger(scene: Scene) -> None:
    """One that was restored asks once more, and is answered; one that means ill asks for ever."""
    person = someone(scene)
    for _ in range(ASKED_MAX):
        assert ask(scene, scene.gym, signed(scene.gym, request(person))).status_code == 200
    with nothing_changes(scene.insurer):
        refused(ask(scene, scene.gym, signed(scene.gym, request(person))), 409, "limit_reached")


def test_an_answer_to_something_else_is_not_logged(scene: Scene) -> None:
    person = someone(scene)
    scene.gym.app().subjects.erase(person.at_gym)
    row = asked_now(scene.gym, person)
    fields = tuple(FieldAnswer(field=field, fate="erased") for field in FIELDS)
    right = {"erasure": row.id, "partner": "insurer.example", "request": signed_digest(row.request)}
    wrong = (
        {"erasure": new_id("era", bytes(16))},
        {"partner": "track.example"},
        {"request": signed_digest("another")},
    )
    with nothing_changes(scene.gym):
        for changes in wrong:
            answer = ErasureAttestation(**{**right, **changes}, fields=fields, at=scene.story.clock.at_s)
            with pytest.raises(ReceiptRejected):
                take(scene.gym, row.id, signed(scene.insurer, answer))
        for at_s in (row.asked_at_s - TIME_SLACK_S - 1, scene.story.clock.at_s + TIME_SLACK_S + 1):
            answer = ErasureAttestation(**right, fields=fields, at=at_s)
            with pytest.raises(ReceiptRejected, match="states a time"):
                take(scene.gym, row.id, signed(scene.insurer, answer))
        honest = ErasureAttestation(**right, fields=fields, at=scene.story.clock.at_s)
        with pytest.raises(SignatureRejected):
            take(scene.gym, row.id, signed(scene.track, honest))
    take(scene.gym, row.id, signed(scene.insurer, honest))
    with nothing_changes(scene.gym):
        take(scene.gym, row.id, signed(scene.insurer, honest))
    scene.story.settle()


def take(company: Company, erasure: str, token: str) -> None:
    company.node.writer.write(lambda transaction: attested(company.node, transaction, erasure, token))


def asked_now(gym: Company, person: Membership) -> Any:
    """Let the time of a person's erasure come, and nothing be sent yet; return its row."""
    gym.clock.at_s += SPREAD_S
    mine = select(ERASURES).where(ERASURES.c.link == person.link)
    (row,) = gym.node.rows(mine)
    assert row.id in due_erasures(gym.node, rows_max=100)
    gym.node.writer.write(lambda transaction: ask_partner(gym.node, transaction, row.id))
    return gym.node.rows(mine)[0]


def test_an_erasure_waits_while_a_claim_is_being_sent(scene: Scene) -> None:
    """Whether the claim arrived is not known before its answer; the entry that ends its receipt must say."""
    person = someone(scene)
    scene.gym.app().subjects.erase(person.at_gym)
    node = scene.gym.node
    sending = {"id": f"msg-{person.link}", "partner": "insurer.example", "path": "/peer/v1/claims", "body": "{}"}
    more = {"kind": "claim.issued", "about": "x", "receipt": person.receipt, "state": "sending", "attempts": 0}
    times = {"not_before_s": 0, "next_attempt_s": 0, "maybe_arrived": False}
    node.writer.write(lambda transaction: transaction.execute(MESSAGES.insert().values(**sending, **more, **times)))
    scene.story.clock.at_s += SPREAD_S
    mine = select(ERASURES).where(ERASURES.c.link == person.link)
    (row,) = node.rows(mine)
    node.writer.write(lambda transaction: ask_partner(node, transaction, row.id))
    assert node.rows(mine)[0].state == "due"
    gone = MESSAGES.delete().where(MESSAGES.c.id == sending["id"])
    node.writer.write(lambda transaction: transaction.execute(gone))
    scene.story.settle()
    assert node.rows(mine)[0].state == "attested"


def test_a_request_that_nobody_answered_is_refused_and_never_given_again(scene: Scene) -> None:
    number = next(_numbers)
    person = link(scene.gym, scene.insurer, at_gym=f"dov-{number}", at_insurer=f"dov-at-{number}", town=scene.story)
    asked = scene.insurer.app().receipts.request(person.link)
    scene.story.settle()
    scene.gym.app().subjects.erase(person.at_gym)
    give = {"subject": person.at_gym, "evidence": evidence().model_dump(exclude_none=True)}
    refused(app(scene.gym, f"/v1/receipts/{asked.receipt}/give", give), 404, "not_found")
    scene.story.clock.at_s += SPREAD_S
    scene.story.settle()
    for company in (scene.gym, scene.insurer):
        (row,) = company.node.rows(select(RECEIPTS).where(RECEIPTS.c.id == asked.receipt))
        assert (row.state, json.loads(row.last_step)["state"]) == ("refused", "refused")


def test_an_id_under_which_nothing_is_held_is_a_slip_and_stays_free(scene: Scene) -> None:
    """The clerk meant another member; whoever gets this number one day can be served."""
    with nothing_changes(scene.gym):
        refused(app(scene.gym, "/v1/erasures", {"subject": "member-0816"}, once="a-slip"), 404, "nothing_held")
    consent(link(scene.gym, scene.insurer, at_gym="member-0816", at_insurer="p-16", town=scene.story), scene.story)
    told = app(
        scene.gym, "/v1/erasures", {"subject": "member-0816"}, once="a-slip"
    ).json()  # nothing was kept of the slip
    assert [each["state"] for each in told["erasures"]] == ["due"]


def lost_rows(scene: Scene, subject: str) -> None:
    """Her rows went with the disk, the backup is older than she is, and custody is not."""
    scene.gym.node.custody.find_or_make(scene.gym.node.secrets.name("subject", subject))


def lost_rows_of_who_was_rewarded(scene: Scene, subject: str) -> None:
    scene.gym.node.custody.find_or_make(scene.gym.node.secrets.name("member", subject))


def older_custody(scene: Scene, subject: str) -> None:
    """She was erased, and a custody that is older was put back under the running node."""
    scene.gym.app().subjects.erase(subject, even_unknown=True)
    name = scene.gym.node.secrets.name("subject", subject)
    with writing(scene.gym.node.custody.engine).begin() as connection:
        for table in (TOMBSTONES, DESTROYED):
            connection.execute(delete(table).where(table.c.name == name))


def erased_before(scene: Scene, subject: str) -> None:
    scene.gym.app().subjects.erase(subject, even_unknown=True)
    name = scene.gym.node.secrets.name("subject", subject)
    scene.gym.node.writer.write(lambda transaction: transaction.execute(delete(BURIED).where(BURIED.c.name == name)))


def got_a_letter(scene: Scene, subject: str) -> None:
    scene.gym.app().desk.letter(subject)


def speaks_for_her_child(scene: Scene, subject: str) -> None:
    scene.gym.office().standings.record("kid-1", kind="minor", speakers=["dad", subject], of_age_from=2_000_000_000)


def spoke_once(scene: Scene, subject: str) -> None:
    speaks_for_her_child(scene, subject)
    person = link(scene.gym, scene.insurer, at_gym="kid-1", at_insurer="kid-1-at-ins", town=scene.story)
    asked = scene.insurer.app().receipts.request(
        person.link, authority=Authority(kind="guardian"), of_age_from=2_000_000_000
    )
    scene.story.settle()
    scene.gym.app().receipts.refuse(asked.receipt, subject="kid-1", by=subject)
    scene.gym.office().standings.record("kid-1", kind="own")


@pytest.mark.parametrize(
    "known",
    [
        lost_rows,
        lost_rows_of_who_was_rewarded,
        older_custody,
        erased_before,
        got_a_letter,
        speaks_for_her_child,
        spoke_once,
    ],
)
def test_whoever_anything_tells_of_is_erased_as_asked(scene: Scene, known: Callable[[Scene, str], None]) -> None:
    subject = f"eve-{next(_numbers)}"
    known(scene, subject)
    assert scene.gym.app().subjects.erase(subject).erasures == ()
    assert scene.gym.node.custody.is_destroyed(scene.gym.node.secrets.name("subject", subject))


def test_an_id_that_is_not_known_is_barred_where_that_is_wanted(scene: Scene) -> None:
    before = len(everything(scene.gym)["claim"])
    told = app(scene.gym, "/v1/erasures", {"subject": "nobody", "even_unknown": True}).json()
    assert told == {"erasures": [], "has_more": False, "next_cursor": None}
    refused(app(scene.gym, "/v1/certificates/search", {"subject": "nobody"}), 404, "not_found")
    record = {"subject": "nobody", "type": "membership.activated", "data": {"since": "2027-02-27T09:00:00-05:00"}}
    refused(app(scene.gym, "/v1/events", record), 410, "payload_erased")
    assert len(scene.gym.node.rows(select(CLAIMS))) == before


def test_who_was_erased_is_not_written_of_again_by_letter_or_on_record(scene: Scene) -> None:
    """Who speaks for her, a code for her letter, and an offer that somebody brings in her name."""
    erased, gym = "ida-at-gym", scene.gym
    gym.app().subjects.erase(erased, even_unknown=True)
    offer = scene.insurer.app().links.offer(
        subject="ida-at-ins", partner="gym.example", program="ins-fit", hint="p", login="aal2", channel="letter"
    )
    found = {"candidates": [erased], "hint": "member", "login": "aal2", "channel": "desk", "agent": "staff-12"}
    with nothing_changes(gym):
        for path, body in (
            (
                "/v1/standings",
                {"subject": erased, "kind": "minor", "speakers": ["tom-at-gym"], "of_age_from": 2_000_000_000},
            ),
            ("/v1/letters", {"subject": erased}),
            ("/v1/links/match", {"offer": offer.offer, **found}),
        ):
            refused(app(gym, path, body), 410, "payload_erased")


def test_no_table_names_a_subject_or_a_link_that_erasure_does_not_know_of() -> None:
    """Whoever adds such a table says in `burying` what becomes of its rows."""
    tables = SQLModel.metadata.tables.values()
    assert {each for each in tables if "subject" in each.columns} == set(NAMED_BY)
    assert {each for each in tables if "link" in each.columns} == set(LINKED_BY)
