"""Rules of the language on real nodes: what a node takes, it closes; what it cannot close, it does not take."""

import json
from pathlib import Path
from typing import Any

import pytest
from rulebook import ANA_STEPS, document, rule_named
from sqlalchemy import select
from town import Company, Membership, Town, consent, fitness_program, link, town

from tallystick.audit import DirectorySource, audit
from tallystick.errors import NodeProblem
from tallystick.importing.tables import read_steps, steps_events, steps_key
from tallystick_ledger.encoding import from_base64url
from tallystick_node.storage.tables import EVENTS

STEPS: dict[str, Any] = document("steps-tier")
BY_THE_TRACKER = {
    **STEPS,
    # The tracker's own days and a zone of the program; journey 3 has those of a home.
    "measures": [{**STEPS["measures"][0], "basis": "facility_local"}],
    "period": {**STEPS["period"], "of_home": False},
    "late": {"evidence": "refused"},
}


def bands(rule: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a program that pays for a band of steps, under the name that `link` asks for."""
    changed = {"rule": rule, "rung": "band", "data_classes": ["steps"], **changes}
    return {**fitness_program(), **changed}


def publish(story: Town, program: dict[str, Any]) -> tuple[Company, Company]:
    """The payer publishes the program, and the issuer accepts it."""
    tracker, bank = story.company("gym.example"), story.company("insurer.example")
    bank.app().programs.publish(program)
    story.settle()
    tracker.app().programs.accept("ins-fit", 1)
    story.settle()
    return tracker, bank


def test_3_01_ana_walks_and_her_bank_learns_a_band(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        tracker, bank = publish(story, bands(BY_THE_TRACKER))
        person = consent(link(tracker, bank, at_gym="ana-at-track", at_insurer="ana-at-bank", town=story), story)
        table = "date,steps\n" + "".join(f"{day},{count}\n" for day, count in ANA_STEPS.items())
        days = read_steps(table.encode()).days
        story.go_to("2027-04-02 10:00")
        for _ in range(2):  # the same file twice is recorded once
            for day, (kind, data) in zip(
                days, steps_events(days, zone="America/New_York", source="watch"), strict=True
            ):
                key = steps_key(day, person.at_gym, source="watch")
                tracker.app().events.record(subject=person.at_gym, type=kind, data=data, idempotency_key=key)
        assert len(tracker.node.rows(select(EVENTS))) == 31
        story.go_to("2027-04-03 23:59")
        assert list(bank.app().claims.each()) == []
        story.go_past_release("2027-04-04 00:00")
        (claim,) = bank.app().claims.each()
        assert claim.state == "accepted"
        decided = {each.period: each for each in tracker.app().decisions.find(person.at_gym).decisions}
        told = decided["2027-03"]
        assert (told.outcome, told.counted, told.not_counted) == ("issued", 31, {})
        late, data = steps_events(days, zone="America/New_York", source="phone")[0]
        with pytest.raises(NodeProblem) as closed:
            tracker.app().events.record(subject=person.at_gym, type=late, data=data)
        assert closed.value.code == "period_closed"
        sent = [each for each in tracker.recorder.exchanges if each.path == "/peer/v1/claims"]
        assert len(sent) == 1
        answer = from_base64url(json.loads(sent[0].request)["claim"].split("~")[1]).decode()
        assert "steps.average(2027-03) in band 4" in answer
        assert "11240" not in answer
        assert bank.node.rows(select(EVENTS)) == []
        story.settle()
        report = audit([DirectorySource(str(company.log)) for company in story.companies.values()])
        assert report.holds, report.findings


BY_POSTING_DATE = document("card-purchases")
BY_POSTING_DATE["measures"][0]["outcome"] = {"at_least": 2}
LAST_OF_MARCH = ("2027-03-30", "2027-03-30T12:00:00-04:00"), ("2027-03-31", "2027-04-01T00:10:00-04:00")
"""Two purchases by card, the second of which the bank posted after midnight, and counts for the day before."""


def paid_by_card(on: str, posted_at: str) -> dict[str, Any]:
    data = {"line": f"l-{on}", "account": "checking-4821", "on": on, "posted_at": posted_at, "amount": -500}
    return {"type": "line.posted", "data": {**data, "asset": "USD/2", "category": "card"}}


def cardholder(story: Town) -> Membership:
    bank, payer = publish(story, bands(BY_POSTING_DATE, data_classes=["line"], rung="predicate"))
    return consent(link(bank, payer, at_gym="ana-at-bank", at_insurer="ana-at-payer", town=story), story)


def test_a_line_of_march_that_was_posted_in_april_is_corrected_in_march(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        person = cardholder(story)
        events = person.gym.app().events
        story.go_to("2027-04-01 10:00")
        recorded = [events.record(subject=person.at_gym, **paid_by_card(*when)).event for when in LAST_OF_MARCH]
        story.go_past_release("2027-04-04 00:00")
        assert [each.period for each in person.insurer.app().claims.each()] == ["2027-03"]
        corrected = events.correct(subject=person.at_gym, event=recorded[1])
        assert [(each.period, each.outcome) for each in corrected.effects] == [("2027-03", "revoked")]
        may = events.record(subject=person.at_gym, **paid_by_card("2027-04-01", "2027-04-01T12:00:00-04:00")).event
        story.go_to("2027-05-04 00:00")
        of_april = [(each.period, each.outcome) for each in events.correct(subject=person.at_gym, event=may).effects]
        assert of_april == [("2027-04", "not_reached")], "March is looked at as well, and holds none of it"


def test_a_line_of_march_that_was_posted_in_april_comes_too_late_once_march_is_closed(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        person = cardholder(story)
        story.go_to("2027-04-04 00:00")
        with pytest.raises(NodeProblem) as closed:
            person.gym.app().events.record(subject=person.at_gym, **paid_by_card(*LAST_OF_MARCH[1]))
        assert closed.value.code == "period_closed"


def test_half_a_month_of_little_spending_proves_no_month_of_it(tmp_path: Path) -> None:
    """Ana stops on the 10th and settles what she earned: that she bought little so far is no answer about March."""
    at_most = {**BY_POSTING_DATE, "measures": [{**BY_POSTING_DATE["measures"][0], "outcome": {"at_most": 2}}]}
    with town(tmp_path) as story:
        bank, payer = publish(story, bands(at_most, data_classes=["line"], rung="predicate"))
        person = consent(link(bank, payer, at_gym="ana-at-bank", at_insurer="ana-at-payer", town=story), story)
        story.go_to("2027-03-10 10:00")
        bank.app().receipts.withdraw(person.receipt, subject=person.at_gym, earned="settle_earned")
        assert list(bank.app().claims.each()) == []


@pytest.mark.long
def test_a_line_that_was_removed_by_mistake_is_put_right_in_its_own_month(tmp_path: Path) -> None:
    """The removal came days after the month that it speaks of."""
    with town(tmp_path) as story:
        person = cardholder(story)
        events = person.gym.app().events
        story.go_to("2027-04-03 10:00")
        for when in LAST_OF_MARCH:
            events.record(subject=person.at_gym, **paid_by_card(*when))
        gone = {"line": "l-2027-03-31", "removed_at": "2027-04-03T09:00:00-04:00", "revision": 1}
        removal = events.record(subject=person.at_gym, type="line.removed", data=gone).event
        story.go_past_release("2027-04-04 00:00")
        corrected = events.correct(subject=person.at_gym, event=removal)
        assert [(each.period, each.outcome) for each in corrected.effects] == [("2027-03", "not_taken")]


def test_a_program_is_tried_on_what_stands_and_not_on_what_was_corrected(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        person = cardholder(story)
        story.go_to("2027-04-01 10:00")
        recorded = [
            person.gym.app().events.record(subject=person.at_gym, **paid_by_card(*when)).event for when in LAST_OF_MARCH
        ]
        person.gym.app().events.correct(subject=person.at_gym, event=recorded[1])
        again = {**bands(BY_POSTING_DATE, data_classes=["line"], rung="predicate"), "program": "another"}
        (march,) = person.gym.app().programs.try_out(again, ["2027-03"]).periods
        assert (march.answers, march.counted) == (0, 1)
        with pytest.raises(NodeProblem, match="not over yet") as running:
            person.gym.app().programs.try_out(again, ["2027-03", "2027-04"])
        assert running.value.code == "invalid_input"


@pytest.mark.parametrize(
    ("name", "changes", "needs"),
    [
        ("late-arrival", {"rung": "predicate", "data_classes": ["arrival"]}, "windows and answers by slot"),
        ("rent-of-the-year", {"rung": "aggregate", "data_classes": ["line"]}, "figures that are revealed"),
    ],
)
def test_what_a_node_cannot_close_it_does_not_take(
    tmp_path: Path, name: str, changes: dict[str, Any], needs: str
) -> None:
    with town(tmp_path) as story:
        story.company("gym.example")
        bank = story.company("insurer.example")
        rule_named(name)
        with pytest.raises(NodeProblem, match=needs) as refused:
            bank.app().programs.publish(bands(document(name), **changes))
        assert refused.value.code == "program_invalid"


def test_a_partner_asks_about_a_week_where_its_program_is_of_weeks(tmp_path: Path) -> None:
    """Before consent is in force again, so that the question is refused, and Ana reads that it was put."""
    weekly = {**BY_POSTING_DATE, "period": {**BY_POSTING_DATE["period"], "span": "iso_week"}}
    with town(tmp_path) as story:
        bank, payer = publish(story, bands(weekly, data_classes=["line"], rung="predicate"))
        person = consent(link(bank, payer, at_gym="ana-at-bank", at_insurer="ana-at-payer", town=story), story)
        bank.app().receipts.pause(person.receipt, subject=person.at_gym)
        story.settle()
        payer.app().claims.ask(person.link, "2027-W08")
        story.settle()
        (asked,) = bank.app().decisions.find(person.at_gym).decisions
        assert (asked.period, asked.outcome) == ("2027-W08", "refused")
