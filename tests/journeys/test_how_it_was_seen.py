"""How a yes was seen: by an app, by a clerk, on paper, by several holders; graded on both ledgers, the rest sealed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from outside import stored_of
from sqlalchemy import select
from town import Company, Membership, Town, agree, evidence, fitness_program, link, town

from tallystick.audit import DirectorySource, audit
from tallystick.errors import Conflict, NodeProblem, NotFound
from tallystick_consent.receipts.authority import Authority
from tallystick_consent.receipts.evidence import Evidence, Testimony
from tallystick_ledger.encoding import from_base64url
from tallystick_node.flows.subjects.burying import SPREAD_S
from tallystick_node.storage.tables import ACTS, RECEIPTS

CLERK = Testimony(grade="clerk", login="aal2", channel="desk", agent="staff-12", read_back=True)
FORM = Testimony(grade="signed_form", login="aal2", channel="letter", agent="staff-12", form="f" * 43)


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer that have agreed on the program."""
    with town(tmp_path) as made:
        agree(made, made.company("insurer.example"), made.company("gym.example"))
        yield made


def asked(story: Town, name: str, authority: Authority | None = None) -> Membership:
    """The insurer has asked somebody for consent."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = link(gym, insurer, at_gym=f"{name}-at-gym", at_insurer=f"{name}-at-ins", town=story)
    person.receipt = insurer.app().receipts.request(person.link, authority=authority).receipt
    story.settle()
    return person


def evidence_of(company: Company, receipt: str) -> dict[str, Any]:
    """Return the evidence in a receipt, as the company keeps it."""
    (row,) = company.node.rows(select(RECEIPTS.c.evidence).where(RECEIPTS.c.id == receipt))
    kept: dict[str, Any] = json.loads(row.evidence)
    return kept


def grades(company: Company) -> list[str]:
    """Return the grade of each receipt given, as the company's ledger has it."""
    return sorted(json.loads(row.last_step)["grade"] for row in company.node.rows(select(RECEIPTS.c.last_step)))


def assert_books_agree(story: Town) -> None:
    """Both ledgers hold, alone and against each other."""
    story.settle()
    report = audit([DirectorySource(str(company.log)) for company in story.companies.values()])
    assert report.holds, report.findings


def test_each_grade_stands_on_both_ledgers_and_the_clerk_stays_sealed(story: Town) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    records: list[dict[str, Any]] = []
    for name, seen in (("ana", evidence()), ("ben", CLERK), ("dov", FORM)):
        person = asked(story, name)
        gym.app().receipts.give(person.receipt, subject=person.at_gym, evidence=seen)
        story.settle()
        kept = evidence_of(gym, person.receipt)
        assert (kept, kept["app"]) == (evidence_of(insurer, person.receipt), "app")
        opened = gym.app().acts.find(person.at_gym).acts
        assert [each.commitment for each in opened] == ([kept["record"]] if name != "ana" else [])
        records += [json.loads(from_base64url(each.opening.payload)) for each in opened]
    assert grades(gym) == grades(insurer) == ["app_asserted", "clerk", "signed_form"]
    assert [(each["channel"], each["agent"]) for each in records] == [("desk", "staff-12"), ("letter", "staff-12")]
    assert records[1]["form"] == "f" * 43
    for told in (b"staff-12", b"f" * 43):
        assert told not in stored_of(gym) + stored_of(insurer)
    assert_books_agree(story)


def test_a_clerks_record_goes_with_the_link_whose_evidence_the_gym_attests_to_have_erased(story: Town) -> None:
    """The insurer's customer asks the insurer; what the gym keeps of its own member is about other receipts."""
    ben, dov = (asked(story, name) for name in ("ben", "dov"))
    for person in (ben, dov):
        person.gym.app().receipts.give(person.receipt, subject=person.at_gym, evidence=CLERK)
    story.settle()
    ben.insurer.app().subjects.erase(ben.at_insurer)
    story.clock.at_s += SPREAD_S
    story.settle()
    (done,) = ben.insurer.app().subjects.erasures(ben.at_insurer).erasures
    assert {each.field: each.fate for each in done.fields}["evidence"] == "erased"
    assert [row.receipt for row in ben.gym.node.rows(select(ACTS))] == [dov.receipt]
    assert_books_agree(story)


@pytest.mark.parametrize("extra", [{"record": "r" * 43}, {"grade": "clerk", "read_back": True, "record": "r" * 43}])
def test_an_app_cannot_name_a_record_itself(story: Town, extra: dict[str, object]) -> None:
    person = asked(story, "ana")
    told = Evidence.model_validate({**evidence().model_dump(exclude_none=True), **extra})
    with pytest.raises(NodeProblem) as refused:
        person.gym.app().receipts.give(person.receipt, subject=person.at_gym, evidence=told)
    assert refused.value.code == "receipt_malformed"
    assert person.gym.node.rows(select(ACTS)) == []


def test_two_of_three_holders_must_say_yes_and_any_one_can_stop(story: Town) -> None:
    person = asked(story, "club", Authority(kind="joint", needed=2))
    calls, club, yes = person.gym.app().receipts, person.at_gym, evidence()
    person.gym.office().standings.record(club, kind="joint", speakers=["ana", "ben", "dov"], needed=2)

    def refused_to(step: Any, by: str) -> str:
        with pytest.raises(Conflict) as refused:
            step(person.receipt, subject=club, evidence=yes, by=by)
        return refused.value.code

    assert refused_to(calls.give, "ana") == "approval_missing"
    assert refused_to(calls.approve, "eve") == "not_authorised"
    for _ in range(2):
        assert calls.approve(person.receipt, subject=club, evidence=yes, by="ana").state == "requested"
    assert refused_to(calls.give, "ana") == "approval_missing"
    assert refused_to(calls.give, "eve") == "not_authorised"
    assert calls.give(person.receipt, subject=club, evidence=yes, by="ben").state == "given"
    story.settle()
    approve, give = person.gym.app().acts.find(club).acts
    kept = evidence_of(person.insurer, person.receipt)
    assert (approve.kind, give.kind, kept["record"]) == ("approve", "give", give.commitment)
    assert kept["approvals"] == [{"grade": "app_asserted", "record": approve.commitment}]
    assert calls.withdraw(person.receipt, subject=club, by="dov").state == "withdrawn"
    assert_books_agree(story)


def test_nobody_approves_for_one_who_speaks_for_itself_or_has_an_agent(story: Town) -> None:
    person = asked(story, "ana")
    for kind, code in (("own", "not_authorised"), ("company", "authority_mismatch")):
        speakers = ["ben"] if kind == "company" else []
        person.gym.office().standings.record(person.at_gym, kind=kind, speakers=speakers)  # type: ignore[arg-type]
        with pytest.raises(Conflict) as refused:
            person.gym.app().receipts.approve(person.receipt, subject=person.at_gym, evidence=evidence(), by="ben")
        assert refused.value.code == code


def test_the_words_are_shown_again_at_both_ends_and_exported_where_they_can_be_said(story: Town) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = asked(story, "ana")
    assert gym.app().receipts.export(person.receipt, "fhir").document["status"] == "draft"
    gym.app().receipts.give(person.receipt, subject=person.at_gym, evidence=CLERK)
    story.settle()
    words = fitness_program()["notice"]
    for company in (gym, insurer):
        shown = company.app().receipts.notice(person.receipt)
        assert shown.notice.model_dump() == words
        assert shown.digest == company.app().receipts.get(person.receipt).terms["notice"]
        told = company.app().receipts.export(person.receipt, "fhir").document
        assert (told["status"], told["verification"][0]["verificationType"]) == ("active", {"text": "clerk"})
        assert words["silence"] in told["text"]["div"]
        with pytest.raises(Conflict) as refused:
            company.app().receipts.export(person.receipt, "fdx")
        assert refused.value.code == "export_inexact"  # visits are no bank's
    with pytest.raises(NotFound):
        gym.app().receipts.notice(f"rcp_{'a' * 26}")
