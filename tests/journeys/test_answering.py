"""What Dov asked for at the desk and what he contests is answered within a month, or is listed as overdue."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import partner
from outside import stored_of
from town import Membership, Town, agree, at, consent, link, town

from tallystick.errors import Conflict, NodeProblem, NotFound
from tallystick.wire import Explanation
from tallystick_consent.receipts.answering import answer_by_s
from tallystick_ledger.encoding import from_base64url

UTC_DAY_S = 86_400


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer that have agreed on the program."""
    with town(tmp_path) as made:
        agree(made, made.company("insurer.example"), made.company("gym.example"))
        yield made


def dov(story: Town) -> Membership:
    """Dov has linked, has said yes, and trained once."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = consent(link(gym, insurer, at_gym="dov-at-gym", at_insurer="dov-at-ins", town=story), story)
    story.go_to("2027-03-01 20:00")
    return person


def asked(person: Membership, kind: str, **more: Any) -> str:
    """Dov tells a clerk his code; return the request."""
    code = person.gym.app().desk.letter(person.at_gym).code
    desk = person.gym.app(person.gym.key("desk:write")).desk
    return desk.serve(kind, subject=person.at_gym, code=code, channel="phone", agent="staff-12", **more).act  # type: ignore[arg-type]


def contested(person: Membership, story: Town, ground: Any) -> Explanation:
    """The insurer asks while he has paused, is told nothing, and Dov says that this is wrong."""
    person.gym.app().receipts.pause(person.receipt, subject=person.at_gym)
    story.settle()
    ask = {"link": person.link, "program": "ins-fit", "version": 1, "period": "2027-03"}
    partner(person.insurer, person.gym, "/peer/v1/asks", ask)
    story.settle()
    (refusal,) = person.gym.app().decisions.why(person.at_gym).explanations
    person.gym.app().decisions.contest(refusal.decision, subject=person.at_gym, ground=ground)
    return refusal


@pytest.mark.parametrize(
    ("asked_at", "due"),
    [
        ("2027-01-15 10:00", "2027-02-15 10:00"),
        ("2027-01-31 10:00", "2027-02-28 10:00"),
        ("2028-01-31 10:00", "2028-02-29 10:00"),
        ("2027-12-31 10:00", "2028-01-31 10:00"),
    ],
)
def test_a_month_ends_on_its_day_or_on_the_months_last(asked_at: str, due: str) -> None:
    assert answer_by_s(at(asked_at)) == at(due)


def test_what_he_asks_for_at_the_desk_is_listed_until_it_is_answered_and_overdue_after_a_month(story: Town) -> None:
    person = dov(story)
    gym, staff = person.gym, person.gym.app(person.gym.key("receipts:read", "receipts:write"))
    dispute = asked(person, "dispute", receipt=person.receipt, words="I never trained there.")
    erase = asked(person, "erase")
    assert [(each.request, each.kind, each.overdue) for each in staff.desk.requests().requests] == [
        (dispute, "dispute", False),
        (erase, "erase", False),
    ]
    (first, _) = staff.desk.requests().requests
    story.clock.at_s = first.answer_by - 1
    assert not any(each.overdue for each in staff.desk.requests().requests)
    story.clock.at_s = first.answer_by
    assert all(each.overdue for each in staff.desk.requests().requests)

    answered = staff.desk.answer(
        dispute, subject=person.at_gym, outcome="declined", because="right_as_recorded", agent="staff-7"
    )
    assert (answered.state, answered.answered_at) == ("declined", story.clock.at_s)
    assert [each.request for each in staff.desk.requests().requests] == [erase]
    acts = {each.act: each for each in gym.app().acts.find(person.at_gym).acts}
    assert (acts[dispute].state, acts[dispute].because) == ("declined", "right_as_recorded")
    (said,) = (each for each in acts.values() if each.kind == "answer")
    record = json.loads(from_base64url(said.opening.payload))
    assert (record["answers"], record["agent"], record["outcome"]) == (dispute, "staff-7", "declined")
    assert b"staff-7" not in stored_of(gym)
    with pytest.raises(Conflict) as again:
        staff.desk.answer(dispute, subject=person.at_gym, outcome="granted", agent="staff-7")
    assert again.value.code == "already_answered"


@pytest.mark.parametrize(
    ("asked_at", "due"),
    [("2027-11-30 10:00", "2028-02-29 10:00"), ("2027-10-31 11:00", "2028-01-31 10:00")],  # and the clocks go back
)
def test_two_further_months_end_on_their_day_too(asked_at: str, due: str) -> None:
    assert answer_by_s(at(asked_at), months=3) == at(due)


def test_an_answer_that_takes_longer_is_due_in_three_months_and_he_can_read_why(story: Town) -> None:
    """GDPR article 12(3): said within the month, with a reason, once; after that it is due before what came later."""
    person = dov(story)
    gym, staff = person.gym, person.gym.app(person.gym.key("receipts:read", "receipts:write"))
    dispute = asked(person, "dispute", receipt=person.receipt, words="I never trained there.")
    (before,) = staff.desk.requests().requests
    told = {"subject": person.at_gym, "because": "complex", "channel": "letter", "agent": "staff-7"}
    story.clock.at_s = before.answer_by - 1
    erase = asked(person, "erase")
    with pytest.raises(NotFound):
        staff.desk.delay(dispute, **{**told, "subject": "ana-at-gym"})  # type: ignore[arg-type]

    delayed = staff.desk.delay(dispute, **told)  # type: ignore[arg-type]

    assert delayed.answer_by == answer_by_s(before.asked_at, months=3)
    first, second = staff.desk.requests().requests
    assert (first.request, second.request, second.delayed) == (erase, dispute, "complex")
    story.clock.at_s = delayed.answer_by - 1
    assert [each.overdue for each in staff.desk.requests().requests] == [True, False]
    story.clock.at_s += 1
    assert [each.overdue for each in staff.desk.requests().requests] == [True, True]
    acts = {each.act: each for each in gym.app().acts.find(person.at_gym).acts}
    assert (acts[dispute].delayed, acts[dispute].answer_by) == ("complex", delayed.answer_by)
    (said,) = (each for each in acts.values() if each.kind == "delay")
    record = json.loads(from_base64url(said.opening.payload))
    assert (record["delays"], record["because"], record["channel"]) == (dispute, "complex", "letter")
    assert b"staff-7" not in stored_of(gym)
    for of, code in ((dispute, "already_delayed"), (erase, "too_late")):
        with pytest.raises(Conflict) as refused:
            staff.desk.delay(of, **told)  # type: ignore[arg-type]
        assert refused.value.code == code
    staff.desk.answer(dispute, subject=person.at_gym, outcome="declined", because="right_as_recorded", agent="staff-7")
    with pytest.raises(Conflict) as refused:
        staff.desk.delay(dispute, **told)  # type: ignore[arg-type]
    assert refused.value.code == "already_answered"


@pytest.mark.long
def test_3_04_an_answer_to_what_he_contests_may_take_longer_too(story: Town) -> None:
    person = dov(story)
    app = person.gym.app()
    contested(person, story, "should_not_be_refused")
    (seen,) = app.decisions.contests().contests
    delayed = app.desk.delay(
        seen.contest, subject=person.at_gym, because="many_requests", channel="app", agent="staff-7"
    )
    (told,) = app.decisions.why(person.at_gym).explanations
    assert told.contest is not None
    assert (told.contest.delayed, told.contest.answer_by) == ("many_requests", delayed.answer_by)
    story.clock.at_s = delayed.answer_by - 1
    assert [each.overdue for each in app.decisions.contests().contests] == [False]


def test_an_erasure_that_is_granted_erases_and_is_closed_by_that(story: Town) -> None:
    person = dov(story)
    gym, erase = person.gym, asked(person, "erase")
    staff = gym.app(gym.key("receipts:read", "receipts:write"))
    with pytest.raises(NodeProblem) as scope:
        staff.desk.answer(erase, subject=person.at_gym, outcome="granted", agent="staff-7")
    assert scope.value.code == "scope_missing"
    assert gym.app().links.find(person.at_gym).links
    with pytest.raises(NotFound):
        gym.app().desk.answer(erase, subject="ana-at-gym", outcome="granted", agent="staff-7")
    with pytest.raises(Conflict) as unfit:
        gym.app().desk.answer(
            erase, subject=person.at_gym, outcome="declined", because="right_as_recorded", agent="staff-7"
        )
    assert unfit.value.code == "ground_unfit"

    done = gym.app().desk.answer(erase, subject=person.at_gym, outcome="granted", agent="staff-7")

    assert [(each.partner, each.state) for each in done.erasures] == [("insurer.example", "due")]
    assert staff.desk.requests().requests == ()
    assert gym.app().links.find(person.at_gym).links == ()
    story.clock.at_s += UTC_DAY_S
    story.settle()
    assert gym.app().subjects.certificate(person.at_gym).links


def test_a_request_of_somebody_who_is_erased_otherwise_is_closed_too(story: Town) -> None:
    person = dov(story)
    asked(person, "erase")
    person.gym.app().subjects.erase(person.at_gym)
    assert person.gym.app().desk.requests().requests == ()


def test_3_04_what_he_contests_is_upheld_by_a_correction_that_why_names(story: Town) -> None:
    person = dov(story)
    app, visit = person.gym.app(), person.visit("2027-03-01 18:00", 50)
    contested(person, story, "count_wrong")
    (seen,) = app.decisions.contests().contests
    assert (seen.answer_by, seen.overdue) == (answer_by_s(seen.contested_at), False)
    upheld = {"subject": person.at_gym, "outcome": "upheld", "agent": "staff-7"}
    with pytest.raises(Conflict) as missing:
        app.decisions.answer(seen.contest, **upheld)  # type: ignore[arg-type]
    assert missing.value.code == "correction_missing"
    with pytest.raises(NotFound):
        app.decisions.answer(seen.contest, correction=f"cor_{'a' * 26}", **upheld)  # type: ignore[arg-type]
    corrected = app.events.correct(event=visit, subject=person.at_gym).correction
    answered = app.decisions.answer(seen.contest, correction=corrected, **upheld)  # type: ignore[arg-type]
    assert (answered.state, answered.correction) == ("upheld", corrected)
    assert app.decisions.contests().contests == ()
    (told,) = (each for each in app.decisions.why(person.at_gym).explanations if each.contest is not None)
    assert told.contest == answered
    with pytest.raises(Conflict) as again:
        app.decisions.answer(
            seen.contest, subject=person.at_gym, outcome="declined", because="rule_applied", agent="staff-7"
        )
    assert again.value.code == "already_answered"


def test_3_04_what_he_contests_is_declined_on_a_ground_and_overdue_until_then(story: Town) -> None:
    person = dov(story)
    app = person.gym.app()
    contested(person, story, "should_not_be_refused")
    (seen,) = app.decisions.contests().contests
    story.clock.at_s = seen.answer_by
    assert [each.overdue for each in app.decisions.contests().contests] == [True]
    declined = {"subject": person.at_gym, "outcome": "declined", "agent": "staff-7"}
    with pytest.raises(Conflict) as unfit:
        app.decisions.answer(seen.contest, because="legal_claims", **declined)  # type: ignore[arg-type]
    assert unfit.value.code == "ground_unfit"
    app.decisions.answer(seen.contest, because="rule_applied", **declined)  # type: ignore[arg-type]
    (told,) = app.decisions.why(person.at_gym).explanations
    assert told.contest is not None
    assert (told.contest.state, told.contest.because) == ("declined", "rule_applied")
