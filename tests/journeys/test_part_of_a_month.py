"""A bank that asks late learns nothing false: of a part of March "at most three days" would be true of anybody."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
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
from tallystick_node.flows.links.rows import link_secret_name
from tallystick_node.storage.tables import CLAIMS


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer that have agreed on the program."""
    with town(tmp_path) as made:
        agree(made, made.company("insurer.example"), made.company("gym.example"))
        yield made


def calm_program(**limits: int) -> dict[str, Any]:
    """The bank's program: a customer that trains on three days at most; an answer is good for twenty days."""
    program = fitness_program(payer="bank.example") | {"claim_valid_days": 20}
    measure = {
        "measure": "qualified_days",
        "events": "visit.ended",
        "basis": "facility_local",
        "sessions": {"merge_within_s": 28_800, "elapsed_at_least_s": 1_800},
        "day": {"take": "count"},
        "day_at_least": 1,
        "outcome": {"at_most": 3},
    }
    period = {"span": "calendar_month", "zone": "America/New_York", "close_after_days": 15}
    rule = {"language": 2, "measures": [measure], "period": period}
    return program | {"program": "calm", "data_classes": ["visit"], "rule": rule, "limits": limits}


def ana(story: Town) -> Membership:
    """Ana, who trains on twelve days of March under the insurer's receipt."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    return consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-insurer", town=story), story)


def a_bank_asks(story: Town, gym: Company, *, events_from: str | None = None, **limits: int) -> Company:
    """Ana says yes to a bank as well, for events from a day of the bank's choice."""
    bank = story.company("bank.example")
    bank.app().programs.publish(calm_program(**limits))
    story.settle()
    gym.app().programs.accept("calm", 1)
    story.settle()
    linked = link(gym, bank, at_gym="ana-at-gym", at_insurer="ana-at-bank", town=story, program="calm")
    since = {} if events_from is None else {"events_from": at(events_from)}
    receipt = bank.app().receipts.request(linked.link, **since).receipt
    story.settle()
    gym.app().receipts.give(receipt, subject="ana-at-gym", evidence=evidence())
    story.settle()
    return bank


@pytest.mark.parametrize("window", ["asked for from a day in the month", "no older than 25 days"])
def test_of_a_part_of_march_the_bank_is_told_nothing_and_ana_reads_why(story: Town, window: str) -> None:
    person, asks_late = ana(story), window == "asked for from a day in the month"
    bank = None if asks_late else a_bank_asks(story, person.gym, staleness_days=25)
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.train(story, ANA_MARCH)
    story.go_to("2027-03-26 12:00")
    bank = bank or a_bank_asks(story, person.gym, events_from="2027-03-21 00:00")
    story.go_past_release("2027-04-17 00:00")
    assert bank.app().claims.list().claims == ()
    decided = person.gym.app().decisions.find("ana-at-gym").decisions
    (refused,) = (each for each in decided if (each.program, each.period) == ("calm", "2027-03"))
    assert [reason["code"] for reason in refused.reasons] == ["period_not_covered"]
    report = audit([DirectorySource(str(each.log)) for each in story.companies.values()])
    assert report.holds, report.findings


def test_what_ran_out_is_not_issued_anew_once_a_part_of_the_month_is_too_old(story: Town) -> None:
    """The bank is away for longer than its answer is good for; then sixty days reach back to the middle of March."""
    person = ana(story)
    bank = a_bank_asks(story, person.gym, staleness_days=60)
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.train(story, {2: 55})
    bank.stop()
    story.go_to("2027-04-17 00:00")
    calm = [claim for claim in person.gym.app().claims.each() if claim.program == "calm"]
    assert [(claim.period, claim.state) for claim in calm] == [("2027-03", "issued")]
    story.go_to("2027-05-14 00:00")
    calm = [claim for claim in person.gym.app().claims.each() if claim.program == "calm"]
    assert [(claim.period, claim.state) for claim in calm] == [("2027-03", "expired")]
    report = audit([DirectorySource(str(person.gym.log))])
    assert report.holds, report.findings


def test_a_bank_that_took_an_answer_and_was_not_heard_pays_its_fee_although_it_ran_out(story: Town) -> None:
    """Nothing is issued anew any more: the bank is asked once more after what it has taken, and nobody is convicted."""
    person = ana(story)
    bank = a_bank_asks(story, person.gym, staleness_days=60)
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.train(story, {2: 55})
    person.gym.recorder.lose_answers_to = "/peer/v1/claims"
    story.go_past_release("2027-04-16 00:00")
    assert [each.state for each in bank.app().claims.list().claims] == ["accepted"]
    bank.stop()
    person.gym.recorder.lose_answers_to = None
    story.go_to("2027-05-14 00:00")
    bank.start()
    story.go_to("2027-05-14 01:00")
    calm = [claim for claim in person.gym.app().claims.each() if claim.program == "calm"]
    assert [(claim.period, claim.state) for claim in calm] == [("2027-03", "delivered")]
    bodies = [entry.body for entry in entries(person.gym, "disclosure")]
    said = [body["state"] for body in bodies if body["recipient"] == "bank.example"]
    assert said == ["issued", "delivered"]
    fees = [entry.body for entry in entries(person.gym, "transfer")]
    assert [fee["debit"] for fee in fees] == ["receivable/bank.example"]
    report = audit([DirectorySource(str(each.log)) for each in story.companies.values()])
    assert report.holds, report.findings


@pytest.mark.parametrize("missing", ["of his events", "of his link"])
def test_one_missing_key_keeps_no_other_answer_from_running_out(story: Town, missing: str) -> None:
    """Ben's key is gone when two answers run out: Ana's is issued anew, and his once his key is back."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    linked = [link(gym, insurer, at_gym=name, at_insurer=f"{name}-there", town=story) for name in ("ben", "ana")]
    ben, ana = (consent(person, story) for person in linked)
    story.go_to("2027-03-01 10:00")
    for person in (ben, ana):
        person.confirm_membership("2027-03-01 09:00")
    story.clock.at_s = at("2027-03-31 23:00")
    for person in (ben, ana):
        for day, minutes in ANA_MARCH.items():
            person.visit(f"2027-03-{day:02} 18:00", minutes)
    insurer.stop()
    story.go_past_release("2027-04-16 00:00")
    name = link_secret_name(ben.link) if missing == "of his link" else gym.node.secrets.name("subject", "ben")
    key = gym.node.custody.find(name)
    assert key is not None
    gym.node.custody.forget(name)
    story.go_to("2027-05-17 00:00")

    def states(person: Membership) -> list[str]:
        mine = select(CLAIMS.c.state).where(CLAIMS.c.link == person.link, CLAIMS.c.period == "2027-03")
        return [row.state for row in gym.node.rows(mine.order_by(CLAIMS.c.number))]

    assert (states(ben), states(ana)) == (["issued"], ["expired", "issued"])
    gym.node.custody.keep(name, key)
    story.go_to("2027-05-17 01:00")
    assert states(ben) == ["expired", "issued"]
    report = audit([DirectorySource(str(gym.log))])
    assert report.holds, report.findings
