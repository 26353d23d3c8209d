"""The life of a receipt over two real nodes: every step an API can attempt from every state, and what each leaves."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest
from hostile import nothing_changes, partner
from sqlalchemy import select, update
from town import (
    ANA_MARCH,
    Company,
    Membership,
    Town,
    agree,
    at,
    consent,
    entries,
    evidence,
    fitness_program,
    link,
    town,
)

from tallystick import Client
from tallystick.audit import DirectorySource, audit
from tallystick.errors import ConsentRefused, NodeProblem
from tallystick.wire import PeerSigned, Receipt
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.receipt import parse_terms
from tallystick_consent.receipts.states import TRANSITIONS, ReceiptState
from tallystick_consent.replay import TIME_SLACK_S
from tallystick_consent.signed import Acknowledgement, GivenReceipt, RenewedReceipt, Stop, signed_digest
from tallystick_ledger.opening import REMEMBERED_S
from tallystick_node.clock import SetClock
from tallystick_node.flows.receipts.bounds import REQUEST_LIFE_S
from tallystick_node.flows.receipts.steps import ACKNOWLEDGE_WITHIN_S, acknowledged
from tallystick_node.flows.receipts.stopping import forget_signed
from tallystick_node.storage.database import connect, writing
from tallystick_node.storage.tables import CLAIMS, HEADS, MESSAGES, RECEIPTS, SIGNED_FOR

MARCH_CLOSES = "2027-04-16 00:00"
_people = count(1)


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer that have agreed on the program, in late February 2027."""
    with town(tmp_path) as made:
        gym, insurer = made.company("gym.example"), made.company("insurer.example")
        agree(made, insurer, gym)
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The same two companies, for tests that each bring somebody new."""
    with town(tmp_path_factory.mktemp("shared")) as made:
        agree(made, made.company("insurer.example"), made.company("gym.example"))
        yield made


def someone(story: Town) -> Membership:
    number = next(_people)
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    return link(gym, insurer, at_gym=f"cleo-{number}", at_insurer=f"policy-{number}", town=story)


def ana(story: Town) -> Membership:
    """Ana has linked her membership and policy, said yes, and is confirmed as a member on 1 March."""
    person = consent(someone(story), story)
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    return person


def assert_books_agree(story: Town) -> None:
    """Both ledgers hold, alone and against each other."""
    story.settle()
    report = audit([DirectorySource(str(company.log)) for company in story.companies.values()])
    assert report.holds, report.findings


def states(person: Membership) -> tuple[str, str]:
    """Return the receipt's state at the gym and at the insurer."""
    return tuple(each.app().receipts.get(person.receipt).state for each in (person.gym, person.insurer))  # type: ignore[return-value]


Act = Callable[[Membership, Client], Receipt]

ACTS: dict[str, tuple[str, Act]] = {
    "the subject puts it off": ("deferred", lambda p, app: app.receipts.defer(p.receipt, subject=p.at_gym)),
    "the subject gives": ("given", lambda p, app: app.receipts.give(p.receipt, subject=p.at_gym, evidence=evidence())),
    "the subject refuses": ("refused", lambda p, app: app.receipts.refuse(p.receipt, subject=p.at_gym)),
    "the subject pauses": ("paused", lambda p, app: app.receipts.pause(p.receipt, subject=p.at_gym)),
    "the subject renews": (
        "renewed",
        lambda p, app: app.receipts.renew(p.receipt, subject=p.at_gym, evidence=evidence()),
    ),
    "the subject withdraws": ("withdrawn", lambda p, app: app.receipts.withdraw(p.receipt, subject=p.at_gym)),
    "the gym revokes": ("revoked", lambda p, app: app.receipts.revoke(p.receipt)),
    "the gym finds it invalid": ("invalidated", lambda p, app: app.receipts.invalidate(p.receipt)),
}
"""What can be attempted at the gym, and what the receipt is after it."""

WAYS: dict[str, tuple[str, ...]] = {
    "requested": (),
    "deferred": ("the subject puts it off",),
    "given": ("the subject gives",),
    "renewed": ("the subject gives", "the subject renews"),
    "paused": ("the subject gives", "the subject pauses"),
    "refused": ("the subject refuses",),
    "withdrawn": ("the subject gives", "the subject withdraws"),
    "revoked": ("the subject gives", "the gym revokes"),
    "invalidated": ("the subject gives", "the gym finds it invalid"),
}
"""How a receipt comes to each state; it expires by itself."""


LIKE_ANOTHER = dict.fromkeys(("requested", "deferred", "renewed", "paused"), pytest.mark.long)
"""States from which `make check` does not try every step, since it does from `given`; `make test` does from all."""


def asked(story: Town) -> Membership:
    person = someone(story)
    person.receipt = person.insurer.app().receipts.request(person.link).receipt
    story.settle()
    return person


def brought_to(state: str, story: Town) -> Membership:
    person = asked(story)
    for step in WAYS[state]:
        ACTS[step][1](person, person.gym.app())
        story.settle()
    assert states(person) == (state, state)
    return person


def assert_steps(person: Membership, state: str, story: Town) -> None:
    """Every act that may follow does, at both ends, each on somebody new; any other is refused and changes nothing."""
    for name, (after, act) in ACTS.items():
        if ReceiptState(after) in TRANSITIONS[ReceiptState(state)]:
            stepping = brought_to(state, story) if state in WAYS else person
            assert act(stepping, stepping.gym.app()).state == after, name
            story.settle()
            assert states(stepping) == (after, after), name
            shown = stepping.gym.app().receipts.get(stepping.receipt)
            assert shown.unacknowledged_since is None, name
            continue
        with nothing_changes(person.gym, person.insurer), pytest.raises(NodeProblem) as refused:
            act(person, person.gym.app())
        assert refused.value.code == "receipt_state", name


@pytest.mark.parametrize("state", [pytest.param(each, marks=LIKE_ANOTHER.get(each, ())) for each in WAYS])
def test_a_receipt_takes_every_step_that_may_follow_and_no_other(shared: Town, state: str) -> None:
    assert_steps(brought_to(state, shared), state, shared)
    assert_books_agree(shared)


def test_an_expired_receipt_takes_no_step(shared: Town) -> None:
    person = asked(shared)
    shared.clock.at_s += REQUEST_LIFE_S
    shared.settle()
    assert states(person) == ("expired", "expired")
    assert_steps(person, "expired", shared)


OPEN_STATES = ("requested", "deferred", "given", "renewed", "paused")


@pytest.mark.parametrize("state", [pytest.param(each, marks=LIKE_ANOTHER.get(each, ())) for each in OPEN_STATES])
def test_the_recipient_may_revoke_whatever_has_not_ended(shared: Town, state: str) -> None:
    story = shared
    person = brought_to(state, story)
    assert person.insurer.app().receipts.revoke(person.receipt).state == "revoked"
    story.settle()
    assert states(person) == ("revoked", "revoked")
    assert person.insurer.app().receipts.unacknowledged().steps == ()
    assert_books_agree(story)


def test_the_recipient_finds_nothing_invalid_and_pauses_nothing(shared: Town) -> None:
    person = brought_to("given", shared)
    with nothing_changes(person.gym, person.insurer):
        for attempt in (
            lambda: person.insurer.app().receipts.invalidate(person.receipt),
            lambda: person.insurer.app().receipts.pause(person.receipt, subject=person.at_insurer),
            lambda: person.insurer.app().receipts.renew(person.receipt, subject=person.at_insurer, evidence=evidence()),
        ):
            with pytest.raises(NodeProblem) as refused:
                attempt()
            assert refused.value.code == "not_found"


def test_while_it_is_paused_nothing_is_answered_and_renewal_makes_up_for_it(story: Town) -> None:
    """SCENARIOS 2.11, of a pause: the feed stops, the consent is not destroyed, and what was missed follows."""
    person = ana(story)
    person.train(story, {day: minutes for day, minutes in ANA_MARCH.items() if day <= 19})
    story.go_to("2027-03-20 12:00")
    person.gym.app().receipts.pause(person.receipt, subject=person.at_gym)
    story.settle()
    assert states(person) == ("paused", "paused")
    person.train(story, {day: minutes for day, minutes in ANA_MARCH.items() if day > 19})
    story.go_to("2027-04-20 00:00")
    assert list(person.gym.app().claims.each()) == []
    person.gym.app().receipts.renew(person.receipt, subject=person.at_gym, evidence=evidence())
    assert list(person.gym.app().claims.each()) == []
    story.go_past_release("2027-04-22 00:00")
    assert [each.state for each in person.gym.app().claims.each()] == ["delivered"]
    assert [each.period for each in person.insurer.app().rewards.find(person.at_insurer).rewards] == ["2027-03"]
    assert_books_agree(story)


def issued_and_waiting(story: Town) -> Membership:
    """March is answered, and the insurer is down."""
    person = ana(story)
    person.train(story, ANA_MARCH)
    person.insurer.stop()
    story.go_to(MARCH_CLOSES)
    story.go_to("2027-04-17 09:00")
    assert [each.state for each in person.gym.app().claims.each()] == ["issued"]
    return person


def test_a_claim_that_waits_is_held_by_the_pause_and_leaves_after_the_renewal(story: Town) -> None:
    person = issued_and_waiting(story)
    person.gym.app().receipts.pause(person.receipt, subject=person.at_gym)
    person.insurer.start()
    story.go_to("2027-04-18 18:00")
    assert states(person) == ("paused", "paused")
    assert [each.state for each in person.gym.app().claims.each()] == ["issued"]
    assert person.insurer.node.rows(select(CLAIMS)) == []
    person.gym.app().receipts.renew(person.receipt, subject=person.at_gym, evidence=evidence())
    story.go_to("2027-04-19 18:00")
    assert [each.state for each in person.gym.app().claims.each()] == ["delivered"]
    assert_books_agree(story)


def test_what_is_settled_of_an_earlier_receipt_is_not_said_to_be_answered_under_the_next(story: Town) -> None:
    """Ana stops in April, March is settled, and she says yes to a new request that reaches back to it."""
    person = brought_to("given", story)
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.train(story, ANA_MARCH)
    story.go_to("2027-04-02 12:00")
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym, earned="settle_earned")
    story.settle()
    asked = person.insurer.app().receipts.request(person.link, events_from=at("2027-03-01 00:00"))
    story.settle()
    person.gym.app().receipts.give(asked.receipt, subject=person.at_gym, evidence=evidence())
    story.go_past_release("2027-04-16 00:00")
    (march,) = person.gym.app().decisions.find(person.at_gym).decisions
    assert (march.receipt, march.outcome) == (asked.receipt, "stands")
    assert [each["code"] for each in march.reasons] == ["told_already"]
    assert [row.receipt for row in person.insurer.node.rows(select(CLAIMS))] == [person.receipt]
    assert_books_agree(story)


def test_a_claim_that_runs_out_while_it_is_held_is_issued_anew_after_the_renewal(story: Town) -> None:
    person = issued_and_waiting(story)
    person.gym.app().receipts.pause(person.receipt, subject=person.at_gym)
    person.insurer.start()
    story.go_to("2027-05-20 18:00")
    assert [each.state for each in person.gym.app().claims.each()] == ["issued"]
    person.gym.app().receipts.renew(person.receipt, subject=person.at_gym, evidence=evidence())
    story.go_to("2027-05-21 18:00")
    story.go_to("2027-05-22 18:00")
    assert sorted(each.state for each in person.gym.app().claims.each()) == ["delivered", "expired"]
    assert_books_agree(story)


def test_a_claim_that_is_held_ends_with_the_receipt(story: Town) -> None:
    person = issued_and_waiting(story)
    person.gym.app().receipts.pause(person.receipt, subject=person.at_gym)
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    person.insurer.start()
    story.go_to("2027-04-18 18:00")
    assert [each.state for each in person.gym.app().claims.each()] == ["withheld"]
    assert person.insurer.node.rows(select(CLAIMS)) == []
    assert_books_agree(story)


def test_after_a_revocation_by_the_insurer_the_gym_sends_nothing(story: Town) -> None:
    person = ana(story)
    person.train(story, ANA_MARCH)
    person.insurer.app().receipts.revoke(person.receipt)
    story.settle()
    with pytest.raises(ConsentRefused) as refused:
        person.visit("2027-03-25 19:30", 50)
    assert refused.value.code == "receipt_revoked"
    story.go_to(MARCH_CLOSES)
    assert list(person.gym.app().claims.each()) == []
    assert person.gym.node.custody.find(f"link/{person.link}") is None
    assert person.insurer.node.custody.find(f"link/{person.link}") is None
    assert_books_agree(story)


def limited(tmp_path: Path, **limits: object) -> Town:
    """Return a town whose program limits each receipt."""
    made = Town(tmp_path, SetClock(at("2027-02-27 09:00")))
    gym, insurer = made.company("gym.example"), made.company("insurer.example")
    insurer.app().programs.publish({**fitness_program(), "limits": limits})
    made.settle()
    gym.app().programs.accept("ins-fit", 1)
    made.settle()
    return made


def test_a_consent_that_is_not_confirmed_pauses_itself_and_goes_on_once_it_is(tmp_path: Path) -> None:
    """SCENARIOS 2.11: the feed pauses, the consent is not destroyed, and the gap is filled after confirmation."""
    story = limited(tmp_path, duration="persistent", reconfirm_days=20)
    try:
        person = ana(story)
        confirm_by = person.gym.app().receipts.get(person.receipt).confirm_by
        assert confirm_by == at("2027-03-19 10:00")  # given on 27 February at 9; the clocks went forward between
        story.clock.at_s = confirm_by - 1
        story.settle()
        assert states(person) == ("given", "given")
        story.clock.at_s = confirm_by
        story.settle()
        assert states(person) == ("paused", "paused")
        story.go_to("2027-03-31 22:00")
        for day in range(1, 20):
            person.visit(f"2027-03-{day:02} 18:00", 50)
        story.go_to("2027-04-17 12:00")
        assert list(person.gym.app().claims.each()) == []
        renewed = person.gym.app().receipts.renew(person.receipt, subject=person.at_gym, evidence=evidence())
        assert renewed.confirm_by == at("2027-05-07 12:00")
        story.go_past_release("2027-04-19 00:00")
        assert [each.state for each in person.gym.app().claims.each()] == ["delivered"]
        assert_books_agree(story)
    finally:
        story.close()


@pytest.mark.long
def test_a_consent_for_one_answer_gives_one_also_in_the_years_that_follow(tmp_path: Path) -> None:
    story = limited(tmp_path, duration="one_time", uses_max=1)
    try:
        person = ana(story)
        for month in range(4, 12):
            story.go_to(f"2027-{month:02}-17 10:00")
        for month in ("2027-11", "2027-12"):
            story.go_to(f"{month}-26 00:00")
            for day, minutes in ANA_MARCH.items():
                person.visit(f"{month}-{day:02} 18:00", minutes)
        story.go_to("2027-12-26 00:00")
        assert [each.period for each in person.gym.app().claims.each()] == ["2027-11"]
        story.go_to("2028-01-02 00:00")
        story.go_to("2028-01-18 00:00")
        assert [each.period for each in person.gym.app().claims.each()] == ["2027-11"]
        (december,) = [
            each for each in person.gym.app().decisions.find(person.at_gym).decisions if each.period == "2027-12"
        ]
        assert [reason["code"] for reason in december.reasons] == ["uses_spent"]
        assert [end.app().receipts.get(person.receipt).uses for end in (person.gym, person.insurer)] == [1, 1]
        assert_books_agree(story)
    finally:
        story.close()


@pytest.mark.long
def test_a_claim_for_the_one_answer_that_ran_out_on_the_way_is_issued_anew(tmp_path: Path) -> None:
    story = limited(tmp_path, duration="one_time", uses_max=1)
    try:
        person = issued_and_waiting(story)
        story.go_to("2027-05-20 00:00")
        person.insurer.start()
        story.go_to("2027-05-22 00:00")
        assert [each.state for each in person.gym.app().claims.each()] == ["delivered", "expired"]
        assert_books_agree(story)
    finally:
        story.close()


@pytest.mark.long
def test_the_one_answer_of_a_receipt_is_taken_back_where_it_rested_on_a_wrong_event(tmp_path: Path) -> None:
    """No further answer is permitted; that the one was wrong is found out all the same."""
    story = limited(tmp_path, duration="one_time", uses_max=1)
    try:
        person = ana(story)
        story.go_to("2027-03-31 22:00")
        recorded = {day: person.visit(f"2027-03-{day:02} 18:00", minutes) for day, minutes in ANA_MARCH.items()}
        story.go_past_release("2027-04-16 00:00")
        assert [each.state for each in person.gym.app().claims.each()] == ["delivered"]
        corrected = person.gym.app().events.correct(subject=person.at_gym, event=recorded[25])
        assert [each.outcome for each in corrected.effects if each.period == "2027-03"] == ["revoked"]
        story.release()
        assert [each.state for each in person.insurer.app().claims.each()] == ["retracted"]
        assert_books_agree(story)
    finally:
        story.close()


def waiting(company: Company) -> list[tuple[str, str, int, bool]]:
    found = company.app().receipts.unacknowledged()
    return [(each.partner, each.state, each.since, each.refused) for each in found.steps]


def overdue(company: Company) -> list[tuple[int | None, bool]]:
    return [(each.due, each.overdue) for each in company.app().receipts.unacknowledged().steps]


def test_a_withdrawal_that_nobody_signed_for_in_a_week_is_overdue_and_the_gyms_own_ledger_says_so(story: Town) -> None:
    """P16: until then it waits, and the audit has nothing to say; once the insurer has signed after all, it has not."""
    person, other = brought_to("given", story), brought_to("given", story)
    person.insurer.stop()
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    due_s = story.clock.at_s + ACKNOWLEDGE_WITHIN_S
    story.clock.at_s = due_s - 1
    story.settle()
    assert overdue(person.gym) == [(due_s, False)]
    assert audit([DirectorySource(str(person.gym.log))]).holds
    story.clock.at_s = due_s + TIME_SLACK_S + 1
    other.confirm_membership("2027-03-01 09:00")
    story.settle()
    assert overdue(person.gym) == [(due_s, True)]
    (finding,) = audit([DirectorySource(str(person.gym.log))]).findings
    assert finding.rule == "P16.acknowledged"
    person.insurer.start()
    story.clock.at_s += 3_600
    story.settle()
    assert overdue(person.gym) == []
    assert_books_agree(story)


@pytest.mark.long
def test_what_the_subject_gave_has_no_deadline(story: Town) -> None:
    """It does no harm while nobody signs for it: nothing is answered under it."""
    person = asked(story)
    person.insurer.stop()
    person.gym.app().receipts.give(person.receipt, subject=person.at_gym, evidence=evidence())
    assert overdue(person.gym) == [(None, False)]


def test_a_step_that_a_dead_partner_has_not_signed_for_stays_listed_until_it_has(story: Town) -> None:
    person = brought_to("given", story)
    assert waiting(person.gym) == []
    person.insurer.stop()
    story.go_to("2027-03-20 12:00")
    person.gym.app().receipts.pause(person.receipt, subject=person.at_gym)
    assert waiting(person.gym) == [("insurer.example", "paused", at("2027-03-20 12:00"), False)]
    story.go_to("2027-03-21 12:00")
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    story.go_to("2027-03-25 12:00")
    assert waiting(person.gym) == [("insurer.example", "withdrawn", at("2027-03-21 12:00"), False)]
    person.insurer.start()
    story.go_to("2027-03-26 12:00")
    assert waiting(person.gym) == []
    assert states(person) == ("withdrawn", "withdrawn")
    assert_books_agree(story)


def test_a_step_that_a_partner_refuses_stays_listed_as_refused(story: Town) -> None:
    """The insurer has lost its receipt: it knows of nothing to stop, and nobody goes on asking it."""
    person = brought_to("given", story)
    rows = connect(person.insurer.databases.node)
    with writing(rows).begin() as connection:
        connection.execute(RECEIPTS.delete().where(RECEIPTS.c.id == person.receipt))
    rows.dispose()
    since_s = story.clock.at_s
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    story.settle()
    assert waiting(person.gym) == [("insurer.example", "withdrawn", since_s, True)]
    assert person.gym.app().receipts.get(person.receipt).end_acknowledged_at is None


def crossed(company: Company) -> list[str]:
    """Return the stops that were signed for after a receipt had ended here, as the ledger has them."""
    return [entry.body["state"] for entry in entries(company, "receipt") if entry.body.get("crossed")]


def test_a_signature_of_another_time_acknowledges_nothing(shared: Town) -> None:
    """It would stand in the gym's ledger for good, and Ana be shown that the insurer stopped before she asked it to."""
    person = brought_to("given", shared)
    gym, insurer = person.gym, person.insurer
    stopped_s = shared.clock.at_s = shared.clock.at_s + 3_600
    gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    shared.clock.at_s += 3_600
    (row,) = gym.node.rows(select(RECEIPTS).where(RECEIPTS.c.id == person.receipt))
    waits = (MESSAGES.c.about == person.receipt, MESSAGES.c.kind == "receipt.withdrawn")
    (message,) = gym.node.rows(select(MESSAGES.c.body).where(*waits))
    sent = PeerSigned.model_validate_json(message.body).token
    said = {"receipt": person.receipt, "version": 1, "state": "withdrawn", "digest": signed_digest(sent)}

    def answer(at_s: int) -> None:
        token = insurer.node.signed(Acknowledgement.model_validate({**said, "at": at_s}))
        gym.node.writer.write(
            lambda transaction: acknowledged(gym.node, transaction, row, state="withdrawn", sent=sent, token=token)
        )

    with nothing_changes(gym):
        for at_s in (0, stopped_s - TIME_SLACK_S - 1, shared.clock.at_s + TIME_SLACK_S + 1, at("2099-01-01 00:00")):
            with pytest.raises(ReceiptRejected, match="states a time"):
                answer(at_s)
    answer(stopped_s - TIME_SLACK_S)
    assert gym.app().receipts.get(person.receipt).end_acknowledged_at == stopped_s - TIME_SLACK_S
    shared.settle()


def test_endings_that_cross_are_signed_for_at_both_ends(story: Town) -> None:
    person = brought_to("given", story)
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    person.insurer.app().receipts.revoke(person.receipt)
    story.settle()
    assert states(person) == ("withdrawn", "revoked")
    assert waiting(person.gym) == waiting(person.insurer) == []
    assert {row.state for row in person.gym.node.rows(select(MESSAGES.c.state))} == {"delivered"}
    assert (crossed(person.gym), crossed(person.insurer)) == (["revoked"], ["withdrawn"])
    assert_books_agree(story)


def test_a_receipt_that_has_ended_takes_a_word_that_it_is_revoked_once(shared: Town) -> None:
    """Each such word is signed for and logged: an insurer that goes on signing new ones fills nobody's ledger."""
    person = brought_to("given", shared)
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    shared.settle()

    def revoke(at_s: int) -> httpx.Response:
        said = {"receipt": person.receipt, "version": 1, "state": "revoked", "at": at_s}
        token = person.insurer.node.signed(Stop.model_validate(said))
        return partner(person.insurer, person.gym, "/peer/v1/receipts/stopped", PeerSigned(token=token))

    first_s = shared.clock.at_s
    first = revoke(first_s)
    assert first.status_code == 200
    with nothing_changes(person.gym):
        assert revoke(first_s + 1).json()["code"] == "receipt_state"
    assert revoke(first_s).json()["token"] == first.json()["token"]
    shared.settle()


@pytest.mark.long
def test_what_the_insurer_hears_after_the_receipt_had_run_out_is_signed_for_and_logged_once(story: Town) -> None:
    """Ana pauses and withdraws while the insurer is down; once it is back, its receipt has run out."""
    person = brought_to("given", story)
    story.clock.at_s = parse_terms(person.gym.app().receipts.get(person.receipt).terms).valid_until_s - 86_400
    story.settle()
    person.insurer.stop()
    person.gym.app().receipts.pause(person.receipt, subject=person.at_gym)
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    story.clock.at_s += 86_400
    person.insurer.start()
    person.insurer.work()
    assert states(person) == ("withdrawn", "expired")
    story.settle()
    assert crossed(person.insurer) == ["paused", "withdrawn"]
    assert states(person) == ("withdrawn", "expired")
    assert_books_agree(story)


def test_a_stop_that_comes_again_is_answered_alike_and_logged_once(shared: Town) -> None:
    """The gym's idempotency key has been forgotten meanwhile; the signature has not."""
    person = brought_to("given", shared)
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    mine = select(MESSAGES.c.body).where(MESSAGES.c.about == person.receipt, MESSAGES.c.kind == "receipt.withdrawn")
    (message,) = person.gym.node.rows(mine)
    body = PeerSigned.model_validate_json(message.body)
    shared.settle()
    shared.clock.at_s += 40 * 86_400
    before = person.insurer.node.rows(select(HEADS.c.size))
    again = partner(person.gym, person.insurer, "/peer/v1/receipts/withdrawn", body)
    assert person.insurer.node.rows(select(HEADS.c.size)) == before
    (kept,) = person.insurer.node.rows(
        select(SIGNED_FOR.c.token).where(SIGNED_FOR.c.signed == signed_digest(body.token))
    )
    assert again.json()["token"] == kept.token
    mine = SIGNED_FOR.c.signed == signed_digest(body.token)
    for ago_s, left in ((REMEMBERED_S - 1, 1), (REMEMBERED_S, 0)):
        aged = update(SIGNED_FOR).where(mine).values(at_s=shared.clock.at_s - ago_s)
        person.insurer.node.writer.write(lambda transaction, aged=aged: transaction.execute(aged))
        person.insurer.node.writer.write(forget_signed)
        assert len(person.insurer.node.rows(select(SIGNED_FOR).where(mine))) == left


@pytest.mark.parametrize("state", ["paused", "invalidated"])
def test_a_recipient_that_signs_what_only_the_other_end_may_do_is_refused(shared: Town, state: str) -> None:
    person = brought_to("given", shared)
    content = {"receipt": person.receipt, "version": 1, "state": state, "at": shared.clock.at_s}
    token = person.insurer.node.signed(Stop.model_validate(content))
    with nothing_changes(person.gym):
        answer = partner(person.insurer, person.gym, "/peer/v1/receipts/stopped", PeerSigned(token=token))
    assert answer.json()["code"] == "not_found"


def test_a_renewal_that_does_not_follow_the_giving_is_refused(shared: Town) -> None:
    person = brought_to("paused", shared)
    terms = parse_terms(person.gym.app().receipts.get(person.receipt).terms)
    for renews in (signed_digest("another"), None):
        said = {"terms": terms, "evidence": evidence(), "at": shared.clock.at_s}
        made = GivenReceipt(**said) if renews is None else RenewedReceipt(**said, renews=renews)
        token = person.gym.node.signed(made)
        with nothing_changes(person.insurer):
            answer = partner(person.gym, person.insurer, "/peer/v1/receipts/renewed", PeerSigned(token=token))
        assert answer.json()["code"] in ("receipt_malformed", "signature_invalid")
    assert states(person) == ("paused", "paused")
