"""An event was wrong, or missing: what was told because of it is taken back or told anew, each step linked."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hostile import log_size, partner
from sqlalchemy import select, update
from town import (
    ANA_MARCH,
    NEW_YORK,
    Company,
    Membership,
    Town,
    agree,
    at,
    consent,
    evidence,
    fitness_program,
    link,
    town,
)

from tallystick import wire
from tallystick.audit import DirectorySource, Report, audit
from tallystick.errors import Conflict, NodeProblem, NotFound
from tallystick.journeys import visit
from tallystick_consent.program import parse_program
from tallystick_ledger.encoding import from_base64url
from tallystick_ledger.tlog.tiles import decode_bundle
from tallystick_node.flows.claims import issuing
from tallystick_node.flows.links.rows import link_secret_name
from tallystick_node.log.transaction import Transaction
from tallystick_node.statuses import SIGNED_AGAIN_AFTER_S, TTL_S
from tallystick_node.storage.tables import (
    CLAIMS,
    CORRECTIONS,
    MADE_GOOD,
    MESSAGES,
    STATUS_LISTS,
    STATUS_PLACES,
    TRANSFERS,
)

MARCH_CLOSES = "2027-04-16 00:00"


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer that have agreed on the program."""
    with town(tmp_path) as made:
        gym, insurer = made.company("gym.example"), made.company("insurer.example")
        agree(made, insurer, gym)
        yield made


def ana(story: Town) -> Membership:
    """Ana is confirmed as a member."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    story.clock.at_s = at("2027-03-31 22:00")
    person.confirm_membership("2027-03-01 09:00")
    return person


def close_march(story: Town) -> None:
    """March closes, and what is answered leaves."""
    story.go_past_release(MARCH_CLOSES)


def visits(person: Membership, *days: int) -> dict[int, str]:
    """Record Ana's visits on these days of March; return each one's event."""
    return {day: person.visit(f"2027-03-{day:02} 18:00", ANA_MARCH[day]) for day in days}


def reward(person: Membership) -> wire.Reward:
    """Return the insurer's last reward of the person."""
    return person.insurer.app().rewards.find(person.at_insurer).rewards[-1]


def states(person: Membership) -> tuple[list[str], list[str]]:
    """Return the states of the claims at the gym and at the insurer, oldest first."""
    gym, insurer = ([each.state for each in company.app().claims.each()] for company in (person.gym, person.insurer))
    return gym[::-1], insurer[::-1]


def outcomes(corrected: wire.Correction) -> list[tuple[str, str]]:
    return [(each.period, each.outcome) for each in corrected.effects]


def kinds(person: Membership) -> list[tuple[str, str]]:
    """Return what was decided of March, and what that was to Ana."""
    told = person.gym.app().decisions.why(person.at_gym).explanations
    return [(each.outcome, each.kind) for each in told if each.period == "2027-03"]


def revoked(person: Membership) -> list[bool]:
    """Return of each of the gym's claims, oldest first, whether its status is revoked."""
    places = {(row.list, row.number): row.revoked_at_s for row in person.gym.node.rows(select(STATUS_PLACES))}
    rows = person.gym.node.rows(select(CLAIMS).order_by(CLAIMS.c.number))
    return [places[row.status_list, row.status_index] is not None for row in rows]


def audited(story: Town) -> Report:
    story.settle()
    report = audit([DirectorySource(str(company.log)) for company in story.companies.values()])
    assert report.holds, report.findings
    return report


def test_a_visit_that_was_somebody_elses_takes_back_the_claim_and_the_credit(story: Town) -> None:
    person = ana(story)
    recorded = visits(person, *ANA_MARCH)
    close_march(story)
    assert (reward(person).state, states(person)) == ("posted", (["delivered"], ["accepted"]))
    story.clock.at_s = at("2027-04-20 09:00")
    corrected = person.gym.app().events.correct(subject=person.at_gym, event=recorded[25])
    assert outcomes(corrected) == [("2027-03", "revoked")]
    assert revoked(person) == [True]
    story.settle()
    assert states(person) == (["revoked"], ["accepted"]), "the insurer hears of it at the claim's own time"
    story.release()
    assert states(person) == (["revoked"], ["retracted"])
    found = person.gym.app().decisions.find(person.at_gym).decisions
    decided = [(each.outcome, each.counted) for each in found if each.period == "2027-03"]
    assert decided == [("issued", 12), ("taken_back", 11)], "Ana reads what was told of her, and that it was taken back"
    assert kinds(person) == [("issued", "answer"), ("taken_back", "answer")]
    taken_back = reward(person)
    assert taken_back.state == "reversed"
    assert_linked(person, taken_back)
    sent = person.gym.node.row(select(MESSAGES.c.path, MESSAGES.c.body).where(MESSAGES.c.kind == "claim.revoked"))
    assert sent is not None
    size = log_size(person.insurer)
    assert partner(person.gym, person.insurer, sent.path, sent.body.encode()).status_code == 200
    assert log_size(person.insurer) == size, "a retraction is applied once"
    budget = person.insurer.app().programs.budget("ins-fit", "2027-03")
    assert (budget.limit, budget.posted, budget.remaining) == (10_000, 0, 10_000)
    turnstile = person.gym.app(person.gym.key("events:write"))
    told = turnstile.events.correct(subject=person.at_gym, event=recorded[22])
    assert outcomes(told) == [], "an app that may not read receipts does not learn of them"
    assert audited(story).holds
    claim = next(each.request for each in person.gym.recorder.exchanges if each.path == "/peer/v1/claims")
    person.gym.node.writer.submit(say_that_all_stand).result()
    story.clock.at_s += TTL_S
    again = partner(person.gym, person.insurer, "/peer/v1/claims", claim)
    assert (again.status_code, again.json()["code"]) == (422, "claim_revoked"), "what was taken back is not taken again"


def say_that_all_stand(transaction: Transaction) -> None:
    """The gym lets its list say of every claim that it stands."""
    transaction.execute(update(STATUS_PLACES).values(revoked_at_s=None))
    transaction.execute(update(STATUS_LISTS).values(changes=STATUS_LISTS.c.changes + 1))


def assert_linked(person: Membership, taken_back: wire.Reward) -> None:
    """The reward names its reversal, that the retraction, that the claim; the gym's revocation its correction."""
    rows = person.insurer.node.rows(select(TRANSFERS).where(TRANSFERS.c.reverses == taken_back.reward))
    assert [row.id for row in rows] == [taken_back.reasons["reversed_by"]]
    insurers, gyms = (entries(company) for company in (person.insurer, person.gym))
    (reversal,) = [each for each in insurers if each["body"].get("reverses") == taken_back.reward]
    (retraction,) = [each for each in insurers if each["id"] == reversal["body"]["cause"]]
    assert (retraction["kind"], retraction["body"]["claim"]) == ("retraction", taken_back.reasons["claim"])
    (step,) = [each for each in gyms if each["body"].get("state") == "revoked"]
    assert step["body"]["claim"] == taken_back.reasons["claim"]
    (correction,) = [each for each in gyms if each["id"] == step["body"]["correction"]]
    place = correction["body"]["wrong"]
    assert place["log"] == "gym.example/log/2027"
    assert gyms[place["leaf"]]["kind"] == "event"
    assert correction["body"]["right"] is None


def test_an_event_is_corrected_once_and_only_by_whom_it_is_about(story: Town) -> None:
    person = ana(story)
    recorded = visits(person, 1, 2)
    events = person.gym.app().events
    with pytest.raises(NotFound):
        events.correct(subject="ben-at-gym", event=recorded[1])
    first = events.correct(subject=person.at_gym, event=recorded[1], idempotency_key="once")
    assert events.correct(subject=person.at_gym, event=recorded[1], idempotency_key="once") == first
    with pytest.raises(Conflict) as twice:
        events.correct(subject=person.at_gym, event=recorded[1])
    assert (twice.value.code, twice.value.existing_id) == ("event_corrected", first.correction)
    assert audited(story).holds


@pytest.mark.long
def test_what_is_corrected_before_the_close_counts_as_corrected(story: Town) -> None:
    """Day 25 was entered with the minutes of day 18: too short, so only eleven days; put right in time it is twelve."""
    person = ana(story)
    visits(person, *(day for day in ANA_MARCH if day != 25))
    short = person.visit("2027-03-25 18:00", 22)
    kind, data = told_visit("2027-03-25 18:00", 51)
    corrected = person.gym.app().events.correct(subject=person.at_gym, event=short, type=kind, data=data)
    assert outcomes(corrected) == []
    assert corrected.right is not None
    close_march(story)
    assert reward(person).state == "posted"
    assert audited(story).holds


def told_visit(start: str, minutes: int) -> tuple[str, dict[str, Any]]:
    """Return type and data of a visit, as the gym's app tells them."""
    started_at = datetime.fromisoformat(start).replace(tzinfo=NEW_YORK)
    ended_at = started_at + timedelta(minutes=minutes)
    return visit(facility="club-7", started_at=started_at, ended_at=ended_at, time_zone="America/New_York")


def entries(company: Company) -> list[dict[str, Any]]:
    """Return the entries of a company's log, in order."""
    bundles = sorted((company.log / "tile" / "entries").glob("000.p/*"), key=lambda path: int(path.name))
    return [json.loads(raw) for raw in decode_bundle(bundles[-1].read_bytes(), count=int(bundles[-1].name))]


def test_a_late_visit_comes_by_the_correction_path_and_a_rule_that_takes_none_stays_as_it_was(story: Town) -> None:
    """1.07: on 16 April March is closed; the record is put right, and what was told of March stays."""
    person = ana(story)
    visits(person, *(day for day in ANA_MARCH if day != 25))
    close_march(story)
    with pytest.raises(Conflict) as late:
        person.visit("2027-03-25 18:00", 51)
    assert late.value.code == "period_closed"
    kind, data = told_visit("2027-03-25 18:00", 51)
    corrected = person.gym.app().events.correct(subject=person.at_gym, type=kind, data=data)
    assert outcomes(corrected) == [("2027-03", "not_taken")]
    last = person.gym.app().decisions.find(person.at_gym).decisions[-1]
    assert (last.outcome, [each["code"] for each in last.reasons]) == ("stands", ["not_taken"])
    assert person.insurer.app().rewards.find(person.at_insurer).rewards == ()
    assert audited(story).holds


@pytest.mark.long
def test_a_claim_that_never_left_is_withheld_and_its_recipient_learns_nothing(story: Town) -> None:
    person = ana(story)
    recorded = visits(person, *ANA_MARCH)
    person.insurer.stop()
    close_march(story)
    corrected = person.gym.app().events.correct(subject=person.at_gym, event=recorded[25])
    assert outcomes(corrected) == [("2027-03", "revoked")]
    assert revoked(person) == [False]
    person.insurer.start()
    story.go_to("2027-04-17 18:00")
    assert states(person) == (["withheld"], [])
    assert not [each for each in person.gym.recorder.exchanges if each.path.startswith("/peer/v1/claims")]
    assert audited(story).holds


@pytest.mark.long
def test_a_retraction_reaches_an_insurer_that_was_away(story: Town) -> None:
    person = ana(story)
    recorded = visits(person, *ANA_MARCH)
    close_march(story)
    person.insurer.stop()
    story.clock.at_s = at("2027-04-20 09:00")
    person.gym.app().events.correct(subject=person.at_gym, event=recorded[25])
    story.go_to("2027-04-20 12:00")
    person.insurer.start()
    story.go_to("2027-04-22 12:00")
    assert reward(person).state == "reversed"
    assert audited(story).holds


@pytest.mark.long
def test_two_partners_of_one_person_hear_of_one_correction_at_two_times(story: Town) -> None:
    """P6: corrections are few, so that two who heard of one in the same second would know that it is one person."""
    person = ana(story)
    bank = story.company("bank.example")
    bank.app().programs.publish({**fitness_program(payer="bank.example"), "program": "bank-fit"})
    story.settle()
    person.gym.app().programs.accept("bank-fit", 1)
    story.settle()
    there = link(person.gym, bank, at_gym=person.at_gym, at_insurer="ana-at-bank", town=story, program="bank-fit")
    asked = bank.app().receipts.request(there.link, events_from=at("2027-03-01 00:00"))
    story.settle()
    person.gym.app().receipts.give(asked.receipt, subject=person.at_gym, evidence=evidence())
    story.settle()
    recorded = visits(person, *ANA_MARCH)
    close_march(story)
    told = {host: f"/status/{listed_for(person.gym, host)}" for host in ("insurer.example", "bank.example")}
    before = {host: status(person.gym, path) for host, path in told.items()}
    story.clock.at_s = at("2027-04-20 09:00")
    corrected = person.gym.app().events.correct(subject=person.at_gym, event=recorded[25])
    assert outcomes(corrected) == [("2027-03", "revoked")] * 2
    changed: dict[str, set[int]] = {"list": set(), "word": set()}
    for at_s in sorted(story.waiting_releases()):
        for now_s in (at_s - SIGNED_AGAIN_AFTER_S, at_s):
            story.clock.at_s = now_s
            story.settle()
            shows = [host for host in told if status(person.gym, told[host]) != before[host]]
            heard = [host for host in ("insurer.example", "bank.example") if retracted(story.companies[host])]
            assert shows == heard, "the list shows it when the word leaves, within a minute, and no sooner"
            changed["list"].add(len(shows))
            changed["word"].add(len(heard))
    assert changed == {"list": {0, 1, 2}, "word": {0, 1, 2}}
    assert audited(story).holds


@pytest.mark.long
@pytest.mark.parametrize("away_s", [0, 2 * 86_400], ids=["at work", "away meanwhile"])
def test_two_partners_of_one_person_are_answered_after_one_correction_at_two_times(tmp_path: Path, away_s: int) -> None:
    """P6: neither the claims, nor the entries that are shown with them, tell that they follow from one correction."""
    with town(tmp_path) as story:
        person = member_of_two_programs_where_late_evidence_counts(story)
        gym = person.gym
        visits(person, *(day for day in ANA_MARCH if day != 25))
        close_march(story)
        story.clock.at_s = at("2027-04-20 09:00")
        kind, data = told_visit("2027-03-25 18:00", 51)
        added = gym.app().events.correct(subject=person.at_gym, type=kind, data=data)
        assert outcomes(added) == [("2027-03", "issued")] * 2
        if away_s:  # both times go by, and what waited together must not leave together
            gym.stop()
            story.clock.at_s += away_s
            gym.start()
            story.settle()
        for at_s in sorted(story.waiting_releases()):
            story.clock.at_s = at_s
            story.settle()
        issued, delivered = (
            [each for each in entries(gym) if each["kind"] == "disclosure" and each["body"]["state"] == state]
            for state in ("issued", "delivered")
        )
        times = {row.logged_at_s for row in gym.node.rows(select(CLAIMS.c.logged_at_s))}
        assert {each["at"] for each in issued} == times
        assert len(times | {added.recorded_at}) == 3
        assert [each["body"].get("correction", "") for each in issued] == ["", ""]
        assert [each["body"]["correction"] for each in delivered] == [added.correction] * 2
        tokens = [row.token for row in gym.node.rows(select(CLAIMS.c.token))]
        assert {json.loads(from_base64url(token.split(".")[1]))["iat"] for token in tokens} == times
        assert audited(story).holds


@pytest.mark.long
def test_two_partners_of_one_person_are_answered_after_late_evidence_at_two_times(tmp_path: Path) -> None:
    """P6: among the claims of April, which all are made at one time, those of March are the few."""
    with town(tmp_path) as story:
        person = member_of_two_programs_where_late_evidence_counts(story)
        visits(person, *(day for day in ANA_MARCH if day != 25))
        close_march(story)
        visits(person, 25)
        story.go_past_release("2027-05-16 00:00")
        issued = {row.logged_at_s for row in person.gym.node.rows(select(CLAIMS.c.logged_at_s))}
        assert len(issued | {at("2027-05-16 00:00")}) == 3
        assert states(person)[0] == ["delivered"] * 2
        told = person.gym.app().decisions.why(person.at_gym).explanations
        assert [(each.outcome, each.claim_state) for each in told if each.period == "2027-03" and each.claim] == [
            ("made_good", "delivered")
        ] * 2
        assert audited(story).holds


def member_of_two_programs_where_late_evidence_counts(story: Town) -> Membership:
    """Ana has consented for a bank as well as for the insurer, and both of them ask about March."""
    person = member_where_late_evidence_counts(story)
    gym, bank = person.gym, story.company("bank.example")
    late = {**fitness_program(payer="bank.example"), "program": "bank-fit", "rule": rule_that_takes_late_evidence()}
    bank.app().programs.publish(late)
    story.settle()
    gym.app().programs.accept("bank-fit", 1)
    story.settle()
    there = link(gym, bank, at_gym=person.at_gym, at_insurer="ana-at-bank", town=story, program="bank-fit")
    asked = bank.app().receipts.request(there.link, events_from=at("2027-03-01 00:00"))
    story.settle()
    gym.app().receipts.give(asked.receipt, subject=person.at_gym, evidence=evidence())
    story.settle()
    return person


def listed_for(gym: Company, partner_host: str) -> str:
    (row,) = gym.node.rows(select(STATUS_LISTS.c.id).where(STATUS_LISTS.c.partner == partner_host))
    return str(row.id)


def status(company: Company, path: str) -> bytes:
    """Return the bits of a list as everybody may read it; when it was signed says nothing."""
    token = httpx.get(f"{company.url}{path}").text
    return json.dumps(json.loads(from_base64url(token.split(".")[1]))["status_list"]).encode()


def retracted(company: Company) -> bool:
    return any(each.state == "retracted" for each in company.app().claims.each())


@pytest.mark.long
@pytest.mark.parametrize("earned", ["drop", "settle_earned"])
def test_what_was_made_good_and_not_issued_yet_is_settled_or_dropped_like_what_was(tmp_path: Path, earned: Any) -> None:
    with town(tmp_path) as story:
        person = member_where_late_evidence_counts(story)
        visits(person, *(day for day in ANA_MARCH if day != 25))
        close_march(story)
        kind, data = told_visit("2027-03-25 18:00", 51)
        person.gym.app().events.correct(subject=person.at_gym, type=kind, data=data)
        assert states(person) == ([], [])
        person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym, earned=earned)
        story.settle()
        story.go_to("2027-04-20 06:00")
        paid = [each.state for each in person.insurer.app().rewards.find(person.at_insurer).rewards]
        assert paid == (["posted"] if earned == "settle_earned" else [])
        assert person.gym.node.rows(select(MADE_GOOD)) == []
        assert audited(story).holds


@pytest.mark.long
def test_what_was_made_good_waits_for_a_key_that_is_missing(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        person = member_where_late_evidence_counts(story)
        visits(person, *(day for day in ANA_MARCH if day != 25))
        close_march(story)
        kind, data = told_visit("2027-03-25 18:00", 51)
        person.gym.app().events.correct(subject=person.at_gym, type=kind, data=data)
        custody, name = person.gym.node.custody, link_secret_name(person.link)
        secret = custody.find(name)
        assert secret is not None
        custody.forget(name)
        story.release()
        assert states(person) == ([], [])
        custody.keep(name, secret)
        story.release()
        assert states(person) == (["delivered"], ["accepted"])
        assert audited(story).holds


def test_what_was_made_good_and_corrected_away_before_it_was_told_is_told_as_taken_back(tmp_path: Path) -> None:
    """P14: Ana reads that March was made good, and must not read that for ever where nobody is told so. That she
    reaches it again counts again."""
    with town(tmp_path) as story:
        person = member_where_late_evidence_counts(story)
        visits(person, *(day for day in ANA_MARCH if day != 25))
        close_march(story)
        kind, data = told_visit("2027-03-25 18:00", 51)
        events = person.gym.app().events
        added = events.correct(subject=person.at_gym, type=kind, data=data)
        assert outcomes(events.correct(subject=person.at_gym, event=added.right)) == [("2027-03", "not_reached")]
        story.release()
        assert states(person) == ([], [])
        said = [("not_reached", "silence"), ("made_good", "answer"), ("taken_back", "answer")]
        assert kinds(person) == said
        person.visit("2027-03-25 18:00", 51)
        story.go_past_release("2027-05-16 00:00")
        assert kinds(person) == [*said, ("made_good", "answer")]
        assert states(person) == (["delivered"], ["accepted"])
        assert audited(story).holds


@pytest.mark.long
def test_what_was_made_good_in_time_is_told_whatever_comes_too_late(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        person = member_where_late_evidence_counts(story)
        visits(person, *(day for day in ANA_MARCH if day != 25))
        close_march(story)
        events = person.gym.app().events
        story.clock.at_s = at(MARCH_CLOSES) + 60 * 86_400 - 60
        for minutes, told in ((51, "issued"), (52, "too_late")):
            kind, data = told_visit(f"2027-03-{25 if told == 'issued' else 26} 18:00", minutes)
            added = events.correct(subject=person.at_gym, type=kind, data=data)
            assert outcomes(added)[0] == ("2027-03", told)
            story.clock.at_s += 120
        story.release()
        assert states(person) == (["delivered"], ["accepted"])
        assert kinds(person)[-1] == ("stands", "answer")
        assert audited(story).holds


@pytest.mark.long
@pytest.mark.parametrize(
    ("less", "said"),
    [
        ({"without_classes": ["visit"]}, [("taken_back", "answer"), ("refused", "refusal")]),
        ({"events_until": at("2027-03-20 00:00")}, [("taken_back", "answer")]),
    ],
    ids=["not permitted any more", "less is counted"],
)
def test_what_was_made_good_and_may_not_be_told_any_more_is_told_as_taken_back(
    tmp_path: Path, less: dict[str, Any], said: list[tuple[str, str]]
) -> None:
    with town(tmp_path) as story:
        person = member_where_late_evidence_counts(story)
        visits(person, *(day for day in ANA_MARCH if day != 25))
        close_march(story)
        kind, data = told_visit("2027-03-25 18:00", 51)
        person.gym.app().events.correct(subject=person.at_gym, type=kind, data=data)
        person.gym.app().receipts.narrow(person.receipt, subject=person.at_gym, evidence=evidence(), **less)
        story.release()
        assert states(person) == ([], [])
        assert kinds(person)[2:] == said


def rule_that_takes_late_evidence() -> dict[str, Any]:
    late = {"evidence": "true_up", "up_within_days": 60, "down": "reversed"}
    rule = parse_program(fitness_program()).rule.spelled_out().model_dump(mode="json", exclude_none=True)
    return {**rule, "late": late}


def member_where_late_evidence_counts(story: Town, **more: Any) -> Membership:
    gym, insurer = story.company("gym.example"), story.company("insurer.example")
    insurer.app().programs.publish({**fitness_program(), "rule": rule_that_takes_late_evidence(), **more})
    story.settle()
    gym.app().programs.accept("ins-fit", 1)
    story.settle()
    return ana(story)


def test_where_a_rule_takes_late_evidence_a_slot_is_answered_late_taken_back_and_answered_anew(tmp_path: Path) -> None:
    """The same nullifier each time; paid twice, and once taken back."""
    with town(tmp_path) as story:
        person = member_where_late_evidence_counts(story)
        gym, insurer = person.gym, person.insurer
        visits(person, *(day for day in ANA_MARCH if day != 25))
        close_march(story)
        assert states(person) == ([], [])
        kind, data = told_visit("2027-03-25 18:00", 51)
        events = gym.app().events
        added = events.correct(subject=person.at_gym, type=kind, data=data)
        assert outcomes(added) == [("2027-03", "issued")]
        story.go_to("2027-04-20 06:00")
        assert (states(person), reward(person).state) == ((["delivered"], ["accepted"]), "posted")
        assert outcomes(events.correct(subject=person.at_gym, event=added.right)) == [("2027-03", "revoked")]
        story.go_to("2027-04-22 06:00")
        assert (states(person), reward(person).state) == ((["revoked"], ["retracted"]), "reversed")
        assert outcomes(events.correct(subject=person.at_gym, type=kind, data=data)) == [("2027-03", "issued")]
        story.go_to("2027-04-24 06:00")
        assert states(person) == (["revoked", "delivered"], ["retracted", "accepted"])
        assert [end.app().receipts.get(person.receipt).uses for end in (gym, insurer)] == [1, 1]
        assert [each.state for each in insurer.app().rewards.find(person.at_insurer).rewards].count("posted") == 1
        assert insurer.app().programs.budget("ins-fit", "2027-03").posted == 2_000
        rows = gym.node.rows(select(CLAIMS.c.nullifier))
        assert len({row.nullifier for row in rows}) == 1
        assert revoked(person) == [True, False]
        for company in (gym, insurer):
            between = [each["body"] for each in entries(company) if each["body"].get("counterparty")]
            assert len(between) == 1, "one slot brings one fee, however often it is answered"
        assert audited(story).holds
        story.clock.at_s = at("2027-06-20 09:00")
        early, data = told_visit("2027-03-23 18:00", 51)
        too_late = events.correct(subject=person.at_gym, type=early, data=data)
        assert outcomes(too_late)[0] == ("2027-03", "stands")


def test_a_claim_that_was_being_sent_when_it_was_revoked_is_not_sent_again(story: Town) -> None:
    """The insurer took it, its answer was lost, and the gym's node died over the next attempt."""
    person = ana(story)
    recorded = visits(person, *ANA_MARCH)
    person.gym.recorder.lose_answers_to = "/peer/v1/claims"
    close_march(story)
    assert (states(person), reward(person).state) == ((["issued"], ["accepted"]), "posted")
    left = MESSAGES.update().where(MESSAGES.c.kind == "claim.issued").values(state="sending")
    person.gym.node.writer.submit(lambda transaction: transaction.execute(left)).result()
    corrected = person.gym.app().events.correct(subject=person.at_gym, event=recorded[25])
    assert outcomes(corrected) == [("2027-03", "revoked")]
    person.gym.recorder.lose_answers_to = None
    person.gym.recorder.exchanges.clear()
    story.go_to("2027-04-18 06:00")
    assert [each.path for each in person.gym.recorder.exchanges if "/claims" in each.path] == [
        "/peer/v1/claims/revoked"
    ]
    assert (states(person), reward(person).state) == ((["revoked"], ["retracted"]), "reversed")
    assert audited(story).holds


@pytest.mark.long
def test_a_retraction_leaves_also_when_its_claim_has_run_out(story: Town) -> None:
    person = ana(story)
    recorded = visits(person, *ANA_MARCH)
    close_march(story)
    person.insurer.stop()
    person.gym.app().events.correct(subject=person.at_gym, event=recorded[25])
    story.clock.at_s += 400 * 86_400
    story.settle()
    person.insurer.start()
    story.clock.at_s += 86_400
    story.settle()
    assert (states(person), reward(person).state) == ((["revoked"], ["retracted"]), "reversed")


def test_what_was_corrected_is_forgotten_with_its_subject(story: Town) -> None:
    person = ana(story)
    recorded = visits(person, 1, 2)
    person.gym.app().events.correct(subject=person.at_gym, event=recorded[1])
    assert len(person.gym.node.rows(select(CORRECTIONS))) == 1
    person.gym.app().subjects.erase(person.at_gym)
    assert person.gym.node.rows(select(CORRECTIONS)) == []
    kind, data = told_visit("2027-03-25 18:00", 51)
    with pytest.raises(NodeProblem) as gone:
        person.gym.app().events.correct(subject=person.at_gym, type=kind, data=data)
    assert gone.value.code == "payload_erased"


def test_an_answer_and_one_that_is_made_good_at_the_same_close_are_two_uses(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        person = member_where_late_evidence_counts(story)
        visits(person, *sorted(ANA_MARCH)[:-1])
        close_march(story)
        assert states(person) == ([], [])
        visits(person, 25)
        story.clock.at_s = at("2027-04-30 23:00")
        for day, minutes in ANA_MARCH.items():
            person.visit(f"2027-04-{day:02} 18:00", minutes)
        story.go_past_release("2027-05-16 00:00")
        told = [each["body"] for each in entries(person.gym) if each["kind"] == "disclosure"]
        issued = [(each["period"], each["use"]) for each in told if each["state"] == "issued"]
        assert issued == [("2027-04", 1), ("2027-03", 2)]
        assert audited(story).holds


@pytest.mark.long
def test_what_was_taken_back_is_made_good_by_late_evidence_at_the_next_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim that was taken back is found too where those of before are read in several statements."""
    monkeypatch.setattr(issuing, "READ_TOGETHER_MAX", 1)
    with town(tmp_path) as story:
        person = member_where_late_evidence_counts(story)
        recorded = visits(person, *ANA_MARCH)
        close_march(story)
        corrected = person.gym.app().events.correct(subject=person.at_gym, event=recorded[25])
        assert outcomes(corrected) == [("2027-03", "revoked")]
        story.release()
        person.visit("2027-03-25 18:00", 51)
        story.go_past_release("2027-05-16 00:00")
        assert states(person) == (["revoked", "delivered"], ["retracted", "accepted"])
        found = person.gym.app().decisions.find(person.at_gym).decisions
        assert [each.outcome for each in found if each.period == "2027-03"] == ["issued", "taken_back", "made_good"]
        assert audited(story).holds


ANA_APRIL = range(3, 15)


def late_visits_while_april_is_answered(person: Membership, story: Town, *late: int) -> None:
    """Ana misses twelve days of March by what comes late, and reaches them in April; then April closes."""
    visits(person, *(day for day in ANA_MARCH if day not in late))
    close_march(story)
    for day in ANA_APRIL:
        person.visit(f"2027-04-{day:02} 18:00", 51)
    visits(person, *late)
    story.go_past_release("2027-05-16 00:00")


def test_two_answers_of_one_close_are_two_uses(tmp_path: Path) -> None:
    """3.06: April is answered at its close, and March, answered by silence, is made good at the same one."""
    with town(tmp_path) as story:
        person = member_where_late_evidence_counts(story)
        late_visits_while_april_is_answered(person, story, 25)
        assert states(person) == (["delivered"] * 2, ["accepted"] * 2)
        assert [end.app().receipts.get(person.receipt).uses for end in (person.gym, person.insurer)] == [2, 2]
        disclosed = [each["body"] for each in entries(person.gym) if each["body"].get("state") == "issued"]
        assert [(each["period"], each["use"]) for each in disclosed] == [("2027-04", 1), ("2027-03", 2)]
        times = {row.logged_at_s for row in person.gym.node.rows(select(CLAIMS.c.logged_at_s))}
        assert len(times) == 2, "what came late is answered at a time of its own (P6)"
        assert audited(story).holds


@pytest.mark.long
def test_an_answer_that_spends_the_last_use_leaves_none_for_the_second_look_of_its_close(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        person = member_where_late_evidence_counts(story, limits={"uses_max": 1})
        late_visits_while_april_is_answered(person, story, 25)
        assert [each.period for each in person.gym.app().claims.each()] == ["2027-04"]
        assert audited(story).holds


@pytest.mark.long
def test_a_visit_of_april_that_made_a_day_of_march_is_taken_back_in_march(story: Town) -> None:
    """Ana comes back after midnight: the two are one session, which stands on the day it began."""
    person = ana(story)
    visits(person, *(day for day in ANA_MARCH if day != 25))
    person.visit("2027-03-31 21:30", 20)
    story.clock.at_s = at("2027-04-01 09:00")
    after_midnight = person.visit("2027-04-01 00:10", 40)
    close_march(story)
    assert reward(person).state == "posted"
    corrected = person.gym.app().events.correct(subject=person.at_gym, event=after_midnight)
    assert outcomes(corrected) == [("2027-03", "revoked")]


@pytest.mark.long
def test_late_evidence_for_the_last_period_of_a_receipt_is_made_good_too(tmp_path: Path) -> None:
    """No later period closes; shortly before the receipt ends, what came of it is looked at."""
    with town(tmp_path) as story:
        person = member_where_late_evidence_counts(story, consent_days=32)
        visits(person, *(day for day in ANA_MARCH if day != 25))
        close_march(story)
        visits(person, 25)
        story.go_to("2027-05-29 00:00")
        assert states(person) == ([], [])
        story.go_past_release("2027-05-30 12:00")
        assert states(person) == (["delivered"], ["accepted"])
        assert audited(story).holds


@pytest.mark.long
def test_what_late_evidence_leaves_as_it_was_is_shown_as_the_answer_that_stands(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        person = member_where_late_evidence_counts(story, consent_days=32)
        visits(person, *ANA_MARCH)
        close_march(story)
        person.visit("2027-03-30 18:00", 50)
        story.go_past_release("2027-05-30 12:00")
        assert kinds(person) == [("issued", "answer"), ("stands", "answer")]


@pytest.mark.long
def test_what_another_club_told_of_the_same_month_is_paid_once_the_first_is_taken_back(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        gym, track, insurer = (story.company(f"{name}.example") for name in ("gym", "track", "insurer"))
        agree(story, insurer, gym, track)
        people = [
            consent(link(club, insurer, at_gym="ana-here", at_insurer="ana-at-ins", town=story), story)
            for club in (gym, track)
        ]
        story.clock.at_s = at("2027-03-31 22:00")
        for person in people:
            person.confirm_membership("2027-03-01 09:00")
        recorded = {person.link: visits(person, *ANA_MARCH) for person in people}
        close_march(story)

        def paid() -> list[tuple[str, str]]:
            found = insurer.app().rewards.find("ana-at-ins").rewards
            return sorted((each.state, each.reasons["receipt"]) for each in found)

        ((_, by),) = paid()
        first, second = sorted(people, key=lambda person: person.receipt != by)

        first.gym.app().events.correct(subject="ana-here", event=recorded[first.link][25])
        story.release()
        audited(story)
        assert paid() == [("posted", second.receipt), ("reversed", first.receipt)]
        assert insurer.app().programs.budget("ins-fit", "2027-03").posted == 2_000

        second.gym.app().events.correct(subject="ana-here", event=recorded[second.link][25])
        story.release()
        audited(story)
        assert [state for state, _ in paid()] == ["reversed", "reversed"]
