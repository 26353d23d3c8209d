"""Versions of a receipt over two real nodes: less at once, more only when it is asked for and given."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import nothing_changes, partner
from sqlalchemy import select
from town import ANA_MARCH, Company, Membership, Town, agree, at, consent, evidence, link, town

from tallystick.audit import DirectorySource, audit
from tallystick.errors import NodeProblem
from tallystick.wire import PeerSigned
from tallystick_consent.entries import ReceiptBody
from tallystick_consent.receipts.receipt import parse_terms
from tallystick_consent.signed import RenewedReceipt, signed_digest
from tallystick_node.flows.receipts.bounds import REQUEST_LIFE_S
from tallystick_node.storage.tables import CLAIMS, RECEIPTS, STATUS_PLACES

DAY_S = 86_400


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer that have agreed on the program, in late February 2027."""
    with town(tmp_path) as made:
        agree(made, made.company("insurer.example"), made.company("gym.example"))
        yield made


@pytest.fixture
def ana(story: Town) -> Membership:
    """Ana has said yes; the gym has confirmed on 1 March that she is its member."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    return person


def assert_books_agree(story: Town) -> None:
    story.settle()
    report = audit([DirectorySource(str(company.log)) for company in story.companies.values()])
    assert report.holds, report.findings


def shown(person: Membership) -> set[tuple[str, int, str]]:
    """Return what both ends hold: state, version, and the terms' digest."""
    found = [end.app().receipts.get(person.receipt) for end in (person.gym, person.insurer)]
    return {(each.state, each.version, parse_terms(each.terms).digest()) for each in found}


def differences(person: Membership) -> list[tuple[int, str, tuple[str, ...]]]:
    found = person.gym.app().receipts.versions(person.receipt).versions
    assert found == person.insurer.app().receipts.versions(person.receipt).versions
    return [(each.version, each.state, each.difference) for each in found]


def decided(person: Membership) -> list[tuple[str, list[str]]]:
    found = person.gym.app().decisions.find(person.at_gym).decisions
    return [(each.outcome, [reason["code"] for reason in each.reasons]) for each in found]


def test_a_data_class_taken_back_is_not_evaluated_any_more_and_the_insurer_is_told_what_left(
    story: Town, ana: Membership
) -> None:
    """SCENARIOS 2.10, of a data class."""
    ana.train(story, ANA_MARCH)
    story.go_to("2027-03-26 12:00")
    less = ana.gym.app().receipts.narrow(
        ana.receipt, subject=ana.at_gym, evidence=evidence(), without_classes=["visit"]
    )
    assert (less.state, less.version, less.terms["data_classes"]) == ("renewed", 2, ["membership"])
    with pytest.raises(NodeProblem) as refused:
        ana.visit("2027-03-26 08:00", 60)
    assert refused.value.code == "receipt_missing"
    story.settle()
    assert len(shown(ana)) == 1
    assert differences(ana) == [(1, "superseded", ()), (2, "renewed", ("No longer: data class visit.",))]
    story.go_to("2027-04-18 00:00")
    assert decided(ana)[-1] == ("refused", ["field_not_allowed"])
    assert list(ana.gym.app().claims.each()) == []
    assert_books_agree(story)


def march_is_answered_and_waits(story: Town, ana: Membership) -> None:
    """March is answered at its close, and leaves at its release slot."""
    ana.train(story, ANA_MARCH)
    story.go_to("2027-04-16 00:00")
    assert claims(ana.gym) == ["issued"]


def claims(company: Company) -> list[str]:
    return [each.state for each in company.app().claims.each()]


def test_an_answer_that_waits_does_not_leave_once_its_data_class_is_taken_back(story: Town, ana: Membership) -> None:
    march_is_answered_and_waits(story, ana)
    ana.gym.app().receipts.narrow(ana.receipt, subject=ana.at_gym, evidence=evidence(), without_classes=["visit"])
    assert claims(ana.gym) == ["withheld"]
    assert decided(ana)[-1] == ("refused", ["field_not_allowed"])
    story.go_to("2027-04-18 00:00")
    assert not [each for each in ana.gym.recorder.exchanges if each.path == "/peer/v1/claims"]
    assert claims(ana.gym) == ["withheld"]
    assert_books_agree(story)


@pytest.mark.long
def test_an_answer_that_the_narrower_version_still_covers_leaves_under_it(story: Town, ana: Membership) -> None:
    march_is_answered_and_waits(story, ana)
    until = at("2027-04-01 00:00")
    ana.gym.app().receipts.narrow(ana.receipt, subject=ana.at_gym, evidence=evidence(), events_until=until)
    story.go_to("2027-04-18 00:00")
    assert (claims(ana.gym), claims(ana.insurer)) == (["delivered"], ["accepted"])
    assert_books_agree(story)


@pytest.mark.long
def test_an_answer_over_events_that_were_taken_back_does_not_leave(story: Town, ana: Membership) -> None:
    march_is_answered_and_waits(story, ana)
    until = at("2027-03-20 00:00")
    ana.gym.app().receipts.narrow(ana.receipt, subject=ana.at_gym, evidence=evidence(), events_until=until)
    story.go_to("2027-04-18 00:00")
    assert claims(ana.gym) == ["withheld"]
    assert decided(ana)[-1] == ("refused", ["period_not_covered"])
    assert_books_agree(story)


def test_an_answer_that_may_have_arrived_is_listed_and_not_sent_again(story: Town, ana: Membership) -> None:
    """Its answer was lost: the entry of the version names it, and its status says that it stands no more."""
    march_is_answered_and_waits(story, ana)
    ana.gym.recorder.lose_answers_to = "/peer/v1/claims"
    story.release()
    ana.gym.recorder.lose_answers_to = None
    (claim,) = ana.gym.node.rows(select(CLAIMS))
    ana.gym.app().receipts.narrow(ana.receipt, subject=ana.at_gym, evidence=evidence(), without_classes=["visit"])
    (row,) = ana.gym.node.rows(select(RECEIPTS))
    assert ReceiptBody.model_validate_json(row.last_step).deliverable == (claim.digest,)
    story.clock.at_s += DAY_S
    story.settle()
    assert not [each for each in ana.gym.recorder.exchanges if each.path == "/peer/v1/claims"]
    (place,) = ana.gym.node.rows(select(STATUS_PLACES.c.revoked_at_s))
    assert place.revoked_at_s is not None
    story.clock.at_s += 40 * DAY_S
    story.settle()
    assert claims(ana.gym) == ["expired"]
    assert_books_agree(story)


def test_an_earlier_end_holds_at_once_and_the_insurer_may_ask_for_more_again(story: Town, ana: Membership) -> None:
    until = at("2027-04-01 00:00")
    ana.gym.app().receipts.narrow(ana.receipt, subject=ana.at_gym, evidence=evidence(), events_until=until)
    story.settle()
    story.go_to("2027-04-17 00:00")
    story.go_to("2027-05-17 00:00")
    asked = ana.insurer.app().receipts.request_version(ana.receipt)
    assert (asked.state, asked.version) == ("renewed", 2)
    story.settle()
    versions = ana.gym.app().receipts.versions(ana.receipt).versions
    assert [(each.version, each.state) for each in versions] == [(1, "superseded"), (2, "renewed"), (3, "requested")]
    assert versions[2].difference[0] == "Events count until 2028-05-16 04:00 UTC, until now 2027-04-01 04:00 UTC."
    given = ana.gym.app().receipts.give_version(ana.receipt, subject=ana.at_gym, evidence=evidence())
    assert (given.state, given.version) == ("renewed", 3)
    story.settle()
    assert len(shown(ana)) == 1
    ana.train(story, ANA_MARCH, month="2027-06")
    story.go_to("2027-07-16 00:00")
    story.go_to("2027-07-18 00:00")
    assert [each.period for each in ana.insurer.app().rewards.find(ana.at_insurer).rewards] == ["2027-06"]
    assert_books_agree(story)


@pytest.mark.long
def test_a_next_version_that_is_refused_or_not_answered_leaves_the_one_in_force(story: Town, ana: Membership) -> None:
    before = shown(ana)
    for _ in range(2):
        ana.insurer.app().receipts.request_version(ana.receipt)
        story.settle()
        with pytest.raises(NodeProblem) as twice:
            ana.insurer.app().receipts.request_version(ana.receipt)
        assert twice.value.code == "version_forked"
        ana.gym.app().receipts.refuse_version(ana.receipt, subject=ana.at_gym)
        story.settle()
        assert [each[:2] for each in differences(ana)] == [(1, "given"), (2, "refused")]
    ana.insurer.app().receipts.request_version(ana.receipt)
    story.settle()
    story.clock.at_s += REQUEST_LIFE_S
    story.settle()
    assert [each[:2] for each in differences(ana)] == [(1, "given"), (2, "expired")]
    with pytest.raises(NodeProblem) as late:
        ana.gym.app().receipts.give_version(ana.receipt, subject=ana.at_gym, evidence=evidence())
    assert late.value.code == "not_found"
    assert shown(ana) == before
    assert_books_agree(story)


@pytest.mark.long
def test_a_version_that_is_asked_for_goes_over_into_the_next_years_log(story: Town, ana: Membership) -> None:
    story.go_to("2027-12-20 12:00")
    ana.insurer.app().receipts.request_version(ana.receipt)
    story.go_to("2028-01-05 12:00")
    ana.gym.app().receipts.give_version(ana.receipt, subject=ana.at_gym, evidence=evidence())
    story.settle()
    assert {each[:2] for each in shown(ana)} == {("renewed", 2)}
    assert_books_agree(story)


def test_what_is_taken_back_while_more_is_asked_for_ends_the_asking(story: Town, ana: Membership) -> None:
    ana.insurer.app().receipts.request_version(ana.receipt)
    story.settle()
    ana.gym.app().receipts.narrow(ana.receipt, subject=ana.at_gym, evidence=evidence(), rung="token")
    story.settle()
    with pytest.raises(NodeProblem):
        ana.gym.app().receipts.give_version(ana.receipt, subject=ana.at_gym, evidence=evidence())
    assert {each[:2] for each in shown(ana)} == {("renewed", 2)}
    assert_books_agree(story)


def test_what_takes_nothing_back_is_refused(ana: Membership) -> None:
    for asked in ({}, {"without_classes": ["steps"]}, {"rung": "raw"}, {"events_until": 1_840_000_000}):
        with nothing_changes(ana.gym, ana.insurer), pytest.raises(NodeProblem) as refused:
            ana.gym.app().receipts.narrow(ana.receipt, subject=ana.at_gym, evidence=evidence(), **asked)  # type: ignore[arg-type]
        assert refused.value.code == "version_widens"


LIES: dict[str, tuple[str, dict[str, object]]] = {
    "permits more, and was not asked for": ("version_widens", {"rung": "raw"}),
    "stands on another's word": ("version_widens", {"authority": {"kind": "guardian"}}),
    "was given for another notice": ("version_widens", {"notice": "A" * 43}),
    "is for another reward": ("version_widens", {"reward": "A" * 43}),
    "begins at another time": ("version_widens", {"valid_from_s": at("2027-02-28 09:00")}),
    "lasts otherwise": ("version_widens", {"limits": {"duration": "time_bound"}}),
    "follows other terms": ("version_forked", {"previous": "A" * 43}),
    "leaves a version out": ("version_forked", {"version": 3}),
}


def test_a_gym_that_gives_itself_another_version_is_refused(story: Town, ana: Membership) -> None:
    (row,) = ana.gym.node.rows(select(RECEIPTS))
    terms = parse_terms(ana.gym.app().receipts.get(ana.receipt).terms)
    for lie, (code, changes) in LIES.items():
        forged = parse_terms({**terms.document(), "version": 2, "previous": terms.digest(), **changes})
        token = ana.gym.node.signed(
            RenewedReceipt(terms=forged, evidence=evidence(), renews=signed_digest(row.signed), at=story.clock.at_s)
        )
        with nothing_changes(ana.insurer):
            answer = partner(ana.gym, ana.insurer, "/peer/v1/receipts/renewed", PeerSigned(token=token))
        assert answer.json()["code"] == code, lie
