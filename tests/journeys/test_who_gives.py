"""Who gives: Cleo is eleven, two people hold one account, a company has an agent (SCENARIOS 1.14, 1.15, 3.17)."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from outside import stored_of
from places import ROOT
from sqlalchemy import select
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

from tallystick.audit import DirectorySource, audit
from tallystick.errors import Conflict, ConsentRefused
from tallystick.papers import Trust, check_signed_receipt
from tallystick_consent.receipts.authority import Authority
from tallystick_ledger.encoding import from_base64url
from tallystick_node.storage.tables import CLAIMS, EVENTS, LINKS, RECEIPTS

GUARDIAN = Authority(kind="guardian")
OF_AGE = "2027-03-20 00:00"


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer that have agreed on the program, in late February 2027."""
    with town(tmp_path) as made:
        agree(made, made.company("insurer.example"), made.company("gym.example"))
        yield made


def cleo(story: Town) -> Membership:
    """Cleo has a membership and is insured with Ana; the gym knows that she is a minor, and who Ana is."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = link(gym, insurer, at_gym="cleo-at-gym", at_insurer="cleo-at-ins", town=story)
    record = gym.office().standings.record
    record("cleo-at-gym", kind="minor", speakers=["ana-at-gym"], of_age_from=at(OF_AGE))
    return person


def ask(person: Membership, story: Town, **how: object) -> str:
    """The insurer asks for consent; return the receipt's id."""
    asked = person.insurer.app().receipts.request(person.link, **how)  # type: ignore[arg-type]
    story.settle()
    return asked.receipt


def give(person: Membership, receipt: str, story: Town, *, by: str | None = None) -> Membership:
    """Somebody says yes at the gym, and the insurer signs."""
    person.gym.app().receipts.give(receipt, subject=person.at_gym, evidence=evidence(), by=by)
    story.settle()
    person.receipt = receipt
    return person


def refused_with(code: str, person: Membership, receipt: str, story: Town, *, by: str | None = None) -> None:
    with pytest.raises(Conflict) as refused:
        give(person, receipt, story, by=by)
    assert refused.value.code == code


def rewards(person: Membership) -> list[tuple[int, str]]:
    return [(each.amount, each.period) for each in person.insurer.app().rewards.find(person.at_insurer).rewards]


def assert_books_agree(story: Town) -> None:
    story.settle()
    report = audit([DirectorySource(str(company.log)) for company in story.companies.values()])
    assert report.holds, report.findings


def states(company: Company) -> list[str]:
    return [row.state for row in company.node.rows(select(RECEIPTS.c.state))]


def test_1_14_no_event_is_kept_of_a_child_without_a_guardians_receipt(story: Town) -> None:
    person = cleo(story)
    receipt = ask(person, story)
    refused_with("not_authorised", person, receipt, story)
    refused_with("not_authorised", person, receipt, story, by="eve-at-gym")
    refused_with("authority_mismatch", person, receipt, story, by="ana-at-gym")
    with pytest.raises(Conflict) as refused:
        person.gym.app().receipts.refuse(receipt, subject="cleo-at-gym", by="eve-at-gym")
    assert refused.value.code == "not_authorised"
    with pytest.raises(ConsentRefused, match="receipt_missing"):
        person.confirm_membership("2027-02-27 08:00")
    assert person.gym.node.rows(select(EVENTS)) == []
    assert states(person.insurer) == ["requested"]
    assert_books_agree(story)


def test_1_14_a_child_who_gave_before_anybody_knew_is_answered_about_no_more(story: Town) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = consent(link(gym, insurer, at_gym="cleo-at-gym", at_insurer="cleo-at-ins", town=story), story)
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.train(story, ANA_MARCH)
    gym.office().standings.record(
        "cleo-at-gym", kind="minor", speakers=["ana-at-gym"], of_age_from=at("2035-01-01 00:00")
    )
    with pytest.raises(ConsentRefused) as refused:
        person.visit("2027-03-25 19:00", 30)
    assert refused.value.code == "receipt_missing"
    story.go_to("2027-04-16 00:00")
    story.go_to("2027-04-17 12:00")
    (decided,) = [each for each in gym.app().decisions.find("cleo-at-gym").decisions if each.period == "2027-03"]
    assert (decided.outcome, decided.reasons[0]["code"]) == ("refused", "guardian_missing")
    assert rewards(person) == []
    assert_books_agree(story)


def test_1_15_a_guardians_receipt_ends_at_majority_and_then_the_subject_gives_its_own(story: Town) -> None:
    person = cleo(story)
    receipt = ask(person, story, authority=GUARDIAN, of_age_from=at(OF_AGE))
    refused_with("not_authorised", person, receipt, story, by="eve-at-gym")
    refused_with("not_authorised", person, receipt, story)
    give(person, receipt, story, by="ana-at-gym")
    terms = person.gym.app().receipts.get(receipt).terms
    assert (terms["events_until_s"], terms["valid_until_s"]) == (at(OF_AGE), at(OF_AGE))
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.train(story, {day: minutes for day, minutes in ANA_MARCH.items() if day < 20})
    story.go_to("2027-03-20 08:00")
    assert states(person.gym) == states(person.insurer) == ["expired"]
    with pytest.raises(ConsentRefused) as refused:
        person.visit("2027-03-19 18:00", 45)
    assert refused.value.code == "receipt_expired"

    own = ask(person, story, events_from=at("2027-03-01 00:00"))
    refused_with("not_authorised", person, own, story, by="ana-at-gym")
    give(person, own, story)
    person.gym.office().standings.record("cleo-at-gym", kind="own")  # nothing need be on record any more
    story.go_to("2027-03-25 22:00")
    person.visit("2027-03-22 18:00", 65)
    person.visit("2027-03-25 18:00", 51)
    story.go_to("2027-04-16 00:00")
    story.go_to("2027-04-17 12:00")
    assert rewards(person) == [(2000, "2027-03")]
    assert_books_agree(story)


@pytest.mark.long
def test_1_15_a_guardians_receipt_is_over_once_the_gym_knows_that_the_subject_speaks_for_itself(story: Town) -> None:
    person = cleo(story)
    give(person, ask(person, story, authority=GUARDIAN, of_age_from=at(OF_AGE)), story, by="ana-at-gym")
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.gym.office().standings.record("cleo-at-gym", kind="own")  # the date was wrong: Cleo has come of age before
    with pytest.raises(ConsentRefused, match="receipt_missing"):
        person.visit("2027-03-01 08:00", 45)


def test_1_15_an_answer_that_majority_withheld_is_given_anew_under_the_own_receipt(story: Town) -> None:
    """March closed, and its answer waited for its release slot, when Cleo came of age: one slot, one answer."""
    person = cleo(story)
    of_age = at("2027-04-16 00:01")
    person.gym.office().standings.record("cleo-at-gym", kind="minor", speakers=["ana-at-gym"], of_age_from=of_age)
    give(person, ask(person, story, authority=GUARDIAN, of_age_from=of_age), story, by="ana-at-gym")
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.train(story, ANA_MARCH)
    story.go_to("2027-04-16 00:00")
    story.go_to("2027-04-16 00:01")
    assert claims(person) == [("withheld", 1)]
    give(person, ask(person, story, events_from=at("2027-03-01 00:00")), story)
    story.release()
    assert claims(person) == [("withheld", 1), ("delivered", 1)]
    assert rewards(person) == [(2000, "2027-03")]
    assert_books_agree(story)


@pytest.mark.parametrize(
    "fee", [100, pytest.param(150, marks=pytest.mark.long), pytest.param(None, marks=pytest.mark.long)]
)
def test_1_15_what_was_taken_under_one_version_is_paid_by_it_also_where_it_is_heard_under_the_next(
    story: Town, fee: int | None
) -> None:
    """The insurer took March's answer, and its reply was lost; Cleo came of age, and the program has another version
    when the gym answers March anew: the insurer answers like the first time, and both book the fee of the first."""
    person, of_age = cleo(story), at("2027-04-20 00:00")
    gym, insurer = person.gym, person.insurer
    gym.office().standings.record("cleo-at-gym", kind="minor", speakers=["ana-at-gym"], of_age_from=of_age)
    give(person, ask(person, story, authority=GUARDIAN, of_age_from=of_age), story, by="ana-at-gym")
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.train(story, ANA_MARCH)
    gym.recorder.lose_answers_to = "/peer/v1/claims"
    story.go_past_release("2027-04-16 00:00")
    story.go_to("2027-04-20 00:00")
    gym.recorder.lose_answers_to = None
    story.go_to("2027-05-20 00:00")
    assert claims(person) == [("expired", 1)]

    second = fitness_program() | {"version": 2, "claim_valid_days": 31}
    second["fee"] = None if fee is None else {"asset": "USD/2", "amount": fee}
    insurer.app().programs.publish(second)
    story.settle()
    gym.app().programs.accept("ins-fit", 2)
    story.settle()
    give(person, ask(person, story, events_from=at("2027-03-01 00:00")), story)
    story.go_to("2027-05-22 12:00")
    assert claims(person) == [("expired", 1), ("delivered", 1)]
    assert rewards(person) == [(2000, "2027-03")]
    assert [entry.body["amount"] for entry in entries(gym, "transfer")] == [100]
    assert_books_agree(story)


def claims(person: Membership) -> list[tuple[str, int]]:
    """Return the state of each claim of the gym's, oldest first, and how many answers its receipt has given."""
    uses = {row.id: row.uses for row in person.gym.node.rows(select(RECEIPTS.c.id, RECEIPTS.c.uses))}
    rows = person.gym.node.rows(select(CLAIMS).order_by(CLAIMS.c.number))
    return [(row.state, uses[row.receipt]) for row in rows]


def test_1_15_a_link_waits_ninety_days_for_the_own_receipt_and_then_ends(story: Town) -> None:
    person = cleo(story)
    give(person, ask(person, story, authority=GUARDIAN, of_age_from=at(OF_AGE)), story, by="ana-at-gym")
    for when, state in (("2027-03-20 00:00", "active"), ("2027-06-17 23:59", "active"), ("2027-06-18 00:00", "ended")):
        story.go_to(when)
        for company in story.companies.values():
            assert [row.state for row in company.node.rows(select(LINKS.c.state))] == [state], when


def test_the_block_in_the_documentation_gives_a_guardians_receipt(story: Town) -> None:
    """It is run as it is written; partners are told meanwhile."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = link(gym, insurer, at_gym="kid-at-gym", at_insurer="kid-at-ins", town=story)

    def wait_until(found: Callable[[], Any]) -> Any:
        story.settle()
        return found()

    page = (ROOT / "docs" / "people.md").read_text().partition("README):\n\n```python\n")[2].partition("```")[0]
    names = {"office": gym.office(), "gym": gym.app(), "insurer": insurer.app(), "link": person.link}
    exec(page, {**names, "wait_until": wait_until})  # noqa: S102  # of our own page
    story.settle()
    (receipt,) = insurer.app().receipts.find(link=person.link).receipts
    assert (receipt.state, receipt.terms["authority"]) == ("given", {"kind": "guardian"})
    (act,) = gym.app().acts.find("kid-at-gym").acts
    assert (act.kind, json.loads(from_base64url(act.opening.payload))["by"]) == ("give", "mum-at-gym")
    paper = check_signed_receipt(gym.app().receipts.signed(receipt.receipt), Trust())
    assert "It was given in the person's place, by a guardian." in paper.shown
    assert any(line.startswith("Shown to whoever gave it: ") for line in paper.shown)


def test_a_guardians_receipt_that_outlasts_the_minority_on_record_is_refused(story: Town) -> None:
    person = cleo(story)
    receipt = ask(person, story, authority=GUARDIAN, of_age_from=at("2027-03-20 00:01"))
    refused_with("authority_ends", person, receipt, story, by="ana-at-gym")


def test_3_17_nothing_that_crosses_or_is_logged_tells_an_age_or_a_guardian(story: Town) -> None:
    """The insurer sees the authority and the end that it asked for itself; who Ana is to Cleo stays at the gym."""
    person = cleo(story)
    give(person, ask(person, story, authority=GUARDIAN, of_age_from=at("2027-03-10 00:00")), story, by="ana-at-gym")
    story.settle()
    wire = b"".join(e.request + e.response for c in story.companies.values() for e in c.recorder.exchanges)
    stored = stored_of(person.insurer)
    for told in (b"ana-at-gym", b"cleo-at-gym", str(at(OF_AGE)).encode()):
        assert told not in wire
        assert told not in stored


def test_any_one_who_speaks_for_a_child_can_stop_and_so_can_the_child(story: Town) -> None:
    person = cleo(story)
    give(person, ask(person, story, authority=GUARDIAN, of_age_from=at(OF_AGE)), story, by="ana-at-gym")
    with pytest.raises(Conflict) as refused:
        person.gym.app().receipts.withdraw(person.receipt, subject="cleo-at-gym", by="eve-at-gym")
    assert refused.value.code == "not_authorised"
    assert person.gym.app().receipts.withdraw(person.receipt, subject="cleo-at-gym").state == "withdrawn"


def test_who_puts_a_guardian_on_record_takes_no_yes_from_that_guardian(story: Town) -> None:
    """The gym's front app may do both; what it says of Cleo is not enough for a yes in the same app."""
    person = cleo(story)
    front, office = person.gym.app().standings, person.gym.office().standings
    guardian = ask(person, story, authority=GUARDIAN, of_age_from=at(OF_AGE))
    front.record("cleo-at-gym", kind="minor", speakers=["eve-at-gym"], of_age_from=at(OF_AGE))
    refused_with("recorded_by_giver", person, guardian, story, by="eve-at-gym")
    front.record("cleo-at-gym", kind="own")  # nor does a child speak for itself by that app's word
    refused_with("recorded_by_giver", person, guardian, story)
    front.record("cleo-at-gym", kind="joint", speakers=["ana-at-gym", "eve-at-gym"], needed=2)
    with pytest.raises(Conflict) as refused:
        person.gym.app().receipts.approve(guardian, subject="cleo-at-gym", evidence=evidence(), by="eve-at-gym")
    assert refused.value.code == "recorded_by_giver"
    office.record("cleo-at-gym", kind="minor", speakers=["ana-at-gym"], of_age_from=at(OF_AGE))
    give(person, guardian, story, by="ana-at-gym")
    front.record("cleo-at-gym", kind="minor", speakers=["eve-at-gym"], of_age_from=at(OF_AGE))
    assert person.gym.app().receipts.withdraw(guardian, subject="cleo-at-gym", by="eve-at-gym").state == "withdrawn"


def test_a_companys_agent_gives_and_somebody_else_does_not(story: Town) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = link(gym, insurer, at_gym="bakery-at-gym", at_insurer="bakery-at-ins", town=story)
    gym.office().standings.record("bakery-at-gym", kind="company", speakers=["dov-at-gym"])
    receipt = ask(person, story, authority=Authority(kind="agent"))
    refused_with("not_authorised", person, receipt, story, by="eve-at-gym")
    give(person, receipt, story, by="dov-at-gym")
    assert states(gym) == states(insurer) == ["given"]
    assert gym.app().standings.find("bakery-at-gym").speakers == ("dov-at-gym",)
    gym.office().standings.record("bakery-at-gym", kind="own")
    assert gym.app().standings.find("bakery-at-gym").kind == "own"
