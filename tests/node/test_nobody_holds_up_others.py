"""One lost key, one silent partner, one second receipt: each is that one's trouble, and holds nobody else up."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select
from town import ANA_MARCH, Company, Membership, Town, agree, at, consent, fitness_program, link, town

from tallystick.audit import DirectorySource, audit
from tallystick.errors import Conflict, NotFound
from tallystick_consent.program import parse_program
from tallystick_node import jobs, outbox
from tallystick_node.flows.claims.closing import close_periods, due_receipts
from tallystick_node.jobs import Jobs
from tallystick_node.storage.tables import CLAIMS, DECISIONS, MESSAGES

MARCH_CLOSES = "2027-04-16 00:00"
APRIL_CLOSES = "2027-05-16 00:00"


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer that have agreed."""
    with town(tmp_path) as made:
        gym, insurer = made.company("gym.example"), made.company("insurer.example")
        agree(made, insurer, gym)
        yield made


def members(story: Town, *names: str, days: Mapping[int, int] = ANA_MARCH) -> list[Membership]:
    """Return people who have consented, and trained twelve days of March, or those that are given."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    story.clock.at_s = at("2027-02-27 09:00")
    people = [
        consent(link(gym, insurer, at_gym=f"{name}-at-gym", at_insurer=f"{name}-at-ins", town=story), story)
        for name in names
    ]
    story.clock.at_s = at("2027-03-31 23:00")
    for person in people:
        person.confirm_membership("2027-03-01 09:00")
        for day, minutes in days.items():
            person.visit(f"2027-03-{day:02} 18:00", minutes)
    return people


def paid(person: Membership) -> int:
    """Return how many rewards a person has."""
    return len(person.insurer.app().rewards.find(person.at_insurer).rewards)


def test_a_link_has_one_open_receipt_at_a_time(story: Town) -> None:
    (person,) = members(story, "ana")
    with pytest.raises(Conflict) as refused:
        person.insurer.app().receipts.request(person.link)
    assert (refused.value.code, refused.value.existing_id) == ("receipt_exists", person.receipt)


def test_nothing_is_asked_over_a_link_that_nobody_has_confirmed(story: Town) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    offer = insurer.app().links.offer(
        subject="ana-at-ins", partner=gym.host, program="ins-fit", hint="policy", login="aal2"
    )
    pending = gym.app().links.accept(subject="ana-at-gym", offer=offer.offer, hint="membership", login="aal2")
    with pytest.raises(NotFound):
        insurer.app().receipts.request(pending.link)


def test_one_subject_s_lost_key_keeps_no_other_month_from_closing(story: Town) -> None:
    ana, ben = members(story, "ana", "ben")
    ana.gym.node.custody.forget(ana.gym.node.secrets.name("subject", ana.at_gym))
    story.go_past_release(MARCH_CLOSES)
    assert (paid(ana), paid(ben)) == (0, 1)


def test_a_month_closes_for_everybody_with_the_statements_it_takes_for_one(story: Town) -> None:
    gym = members(story, "ana", "ben", "eve", "dan")[0].gym
    story.clock.at_s = at(MARCH_CLOSES)
    run(gym, gym.jobs.housekeep())  # February
    due = due_receipts(gym.node, rows_max=10)
    # The first of all claims also begins a status list, and makes the key that release slots are drawn with.
    _, alone, together = (statements_to_close(gym, receipts) for receipts in (due[:1], due[1:2], due[2:]))
    assert alone == together > 0
    issued = gym.node.rows(select(CLAIMS.c.receipt).order_by(CLAIMS.c.leaf))
    assert [row.receipt for row in issued] == due, "in the order in which they were due"


def statements_to_close(company: Company, receipts: list[str]) -> int:
    """Close a period of each of these receipts in one write; return how many statements that took in all."""
    node, seen = company.node, list[str]()
    engines = node.engine, node.custody.engine

    def note(*details: Any) -> None:
        seen.append(details[2])

    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    node.writer.submit(partial(close_periods, node, receipts=receipts, periods_max=10)).result(60)
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)
    return len(seen)


def test_a_month_that_is_looked_at_again_counts_among_those_that_are_closed_together(
    story: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A visit of March comes late for each of three people: as April closes, two of them are four months."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    rule = parse_program(fitness_program()).rule.spelled_out().model_dump(mode="json", exclude_none=True)
    taken = {"evidence": "true_up", "up_within_days": 60, "down": "future_only"}
    insurer.app().programs.publish({**fitness_program(), "version": 2, "rule": {**rule, "late": taken}})
    story.settle()
    gym.app().programs.accept("ins-fit", 2)
    story.settle()
    people = members(story, "ana", "ben", "eve", days={})
    story.go_to(MARCH_CLOSES)
    for person in people:
        person.visit("2027-03-30 18:00", 50)
    story.clock.at_s = at(APRIL_CLOSES)

    due = due_receipts(gym.node, rows_max=10)
    monkeypatch.setattr(jobs, "CLOSED_TOGETHER_MAX", 1)  # what is of one receipt stays together all the same
    assert run(gym, gym.jobs.close_due(rows_max=2)) == 2
    assert due_receipts(gym.node, rows_max=10) == due[1:], "the tick had its two months with the first of them"
    monkeypatch.setattr(jobs, "CLOSED_TOGETHER_MAX", 3)
    assert decided_in_each_write(gym, gym.jobs.close_due(rows_max=10)) == [2, 2]
    for person in people:
        found = gym.app().decisions.find(person.at_gym).decisions[-2:]
        assert [(each.period, each.outcome) for each in found] == [("2027-04", "not_reached"), ("2027-03", "stands")]


def decided_in_each_write(company: Company, work: object) -> list[int]:
    """Let a node do one piece of its own work; return how many decisions each write of it kept."""
    found = list[int]()

    def note(*details: Any) -> None:
        if re.match(rf"INSERT INTO \W?{DECISIONS.name}\b", details[2]):
            found.append(len(details[3]))

    event.listen(company.node.engine, "before_cursor_execute", note)
    run(company, work)
    event.remove(company.node.engine, "before_cursor_execute", note)
    return found


def test_a_withdrawal_does_not_wait_for_a_claim_that_no_head_covers_yet(
    story: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LOOK_AHEAD_MAX", 1)  # as many claims wait as are looked at
    ana, ben = members(story, "ana", "ben")
    gym = ana.gym
    story.clock.at_s = at(MARCH_CLOSES)
    for _month in ("February", "March"):
        run(gym, gym.jobs.housekeep())
    story.clock.at_s = story.last_release_s()
    gym.app().receipts.withdraw(ana.receipt, subject=ana.at_gym)
    run(gym, gym.jobs.deliver("insurer.example"))
    assert ben.insurer.app().receipts.get(ana.receipt).state == "withdrawn"
    waiting = gym.node.rows(select(MESSAGES.c.kind).where(MESSAGES.c.state == "queued"))
    assert [row.kind for row in waiting] == ["claim.issued"]
    story.release()
    assert paid(ben) == 1


def test_nothing_waits_for_a_claim_whose_status_cannot_be_looked_up(story: Town) -> None:
    ana, ben = members(story, "ana", "ben")
    gym, insurer = ana.gym, ana.insurer
    gym.descriptor_url = "http://127.0.0.1:1"  # whoever looks there for the gym's status lists finds nobody
    insurer.trust(gym)
    story.go_past_release(MARCH_CLOSES)
    assert (paid(ana), paid(ben)) == (0, 0)

    gym.app().receipts.withdraw(ana.receipt, subject=ana.at_gym)
    run(gym, gym.jobs.deliver("insurer.example"))
    assert insurer.app().receipts.get(ana.receipt).state == "withdrawn"

    gym.descriptor_url = None
    insurer.trust(gym)
    story.clock.at_s += 60
    story.settle()
    assert paid(ben) == 1


def test_an_answer_that_was_lost_before_a_withdrawal_accuses_nobody_later(story: Town) -> None:
    (person,) = members(story, "ana")
    person.gym.recorder.lose_answers_to = "/peer/v1/claims"
    story.go_past_release(MARCH_CLOSES)
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)
    person.gym.recorder.lose_answers_to = None
    story.go_to("2027-06-01 00:00")
    (row,) = person.gym.node.rows(select(CLAIMS.c.state))
    assert row.state == "expired"
    report = audit([DirectorySource(str(each.log)) for each in story.companies.values()])
    assert report.holds, report.findings


def test_a_partner_s_new_descriptor_counts_at_once(story: Town) -> None:
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    before = gym.node.partners.live("insurer.example")
    insurer.descriptor_url = "http://127.0.0.1:1"
    gym.trust(insurer)
    assert before.url != "http://127.0.0.1:1"
    assert gym.node.partners.live("insurer.example").url == "http://127.0.0.1:1"


def run(company: Company, work: object) -> Any:
    """Let a node do one piece of its own work, and no more; return what comes of it."""
    assert isinstance(company.jobs, Jobs)
    return asyncio.run_coroutine_threadsafe(work, company._loop).result(60)  # type: ignore[arg-type]
