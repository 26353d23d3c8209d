"""Rules of the language on real nodes: what a node takes, it closes; what it cannot close, it does not take."""

import json
from pathlib import Path
from typing import Any

import pytest
from rulebook import ANA_STEPS, document, rule_named
from sqlalchemy import select
from town import Company, Town, consent, fitness_program, link, town

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
