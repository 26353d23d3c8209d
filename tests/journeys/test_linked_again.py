"""Ana comes back: a month that a link answered is not answered again over a later one, whoever she is at the insurer.

DESIGN P7: at most one reward per subject, program, period and slot, under erase and relink.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from town import ANA_MARCH, Membership, Town, agree, at, consent, evidence, link, town

from tallystick.audit import DirectorySource, audit
from tallystick.errors import NodeProblem
from tallystick_node.flows.links.uniques import ANSWERED_KEPT_S, RELINK_AFTER_S, forget_uniques
from tallystick_node.flows.receipts.bounds import LOOKBACK_MAX_S, REQUEST_LIFE_S
from tallystick_node.flows.subjects.burying import SPREAD_S
from tallystick_node.storage.database import connect, writing
from tallystick_node.storage.tables import CLAIMS, LINK_UNIQUE

MARCH_IS_TOLD = "2027-04-25 00:00"


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer that have agreed on the program, in late February 2027."""
    with town(tmp_path) as made:
        gym, insurer = made.company("gym.example"), made.company("insurer.example")
        agree(made, insurer, gym)
        yield made


def ana(story: Town) -> Membership:
    """Ana has trained in March, and was rewarded for it; in April she trained too, which is not told yet."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = consent(link(gym, insurer, at_gym="ana", at_insurer="policy-21", town=story), story)
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.train(story, ANA_MARCH)
    person.train(story, dict.fromkeys(range(1, 14), 45), month="2027-04")
    story.go_to("2027-04-16 00:00")
    story.go_to(MARCH_IS_TOLD)
    assert paid(story) == ["2027-03"]
    return person


def paid(story: Town) -> list[str]:
    """Return the months that the insurer accepted, whoever it was about there."""
    mine = select(CLAIMS.c.period).where(CLAIMS.c.role == "recipient").order_by(CLAIMS.c.number)
    return [row.period for row in story.companies["insurer.example"].node.rows(mine)]


def withdraws(person: Membership) -> None:
    person.gym.app().receipts.withdraw(person.receipt, subject=person.at_gym)


def is_erased_at_the_insurer(person: Membership) -> None:
    person.insurer.app().subjects.erase(person.at_insurer)


def comes_back(person: Membership, story: Town) -> Membership:
    """She links the same membership to another account at the insurer, which asks about the time since March."""
    again = link(person.gym, person.insurer, at_gym="ana", at_insurer="policy-77", town=story)
    asked = person.insurer.app().receipts.request(again.link, events_from=at("2027-03-01 00:00"))
    story.settle()
    again.receipt = asked.receipt
    person.gym.app().receipts.give(asked.receipt, subject="ana", evidence=evidence())
    story.settle()
    story.settle()  # March is refused, which nothing shows, and so the town was at rest before April was looked at
    story.release()
    return again


@pytest.mark.parametrize("leaves", [pytest.param(withdraws, marks=pytest.mark.long), is_erased_at_the_insurer])
def test_the_month_that_was_paid_is_not_paid_to_her_next_account(
    story: Town, leaves: Callable[[Membership], None]
) -> None:
    person = ana(story)
    leaves(person)
    story.clock.at_s += SPREAD_S
    story.settle()
    with pytest.raises(NodeProblem):
        comes_back(person, story)  # what was on its way comes to rest first
    story.clock.at_s += RELINK_AFTER_S
    story.settle()

    comes_back(person, story)

    assert paid(story) == ["2027-03", "2027-04"]
    told = person.gym.app().decisions.find("ana").decisions
    march = next(each for each in reversed(told) if each.period == "2027-03")
    assert (march.outcome, [each["code"] for each in march.reasons]) == ("refused", ["answered_before"])
    report = audit([DirectorySource(str(company.log)) for company in story.companies.values()])
    assert report.holds, report.findings


@pytest.mark.long
def test_the_month_is_remembered_where_version_0_1_had_forgotten_that_she_was_linked(story: Town) -> None:
    """It let go of `u` 90 days after a link's end, and of nothing else."""
    person = ana(story)
    withdraws(person)
    story.clock.at_s += RELINK_AFTER_S
    story.settle()
    rows = connect(person.gym.databases.node)
    with writing(rows).begin() as connection:
        assert connection.execute(LINK_UNIQUE.delete()).rowcount == 1
    rows.dispose()

    comes_back(person, story)

    assert paid(story) == ["2027-03", "2027-04"]


@pytest.mark.long
def test_a_link_that_was_begun_and_left_between_does_not_make_the_gym_forget(story: Town) -> None:
    person = ana(story)
    withdraws(person)
    story.clock.at_s += RELINK_AFTER_S
    story.settle()
    offer = person.insurer.app().links.offer(
        subject="policy-22", partner="gym.example", program="ins-fit", hint="policy ending 22", login="aal2"
    )
    person.gym.app().links.accept(subject="ana", offer=offer.offer, hint="member since 2020", login="aal2")
    story.clock.at_s += 2 * 86_400  # and never confirmed
    story.settle()

    comes_back(person, story)

    assert paid(story) == ["2027-03", "2027-04"]


@pytest.mark.long
def test_what_was_told_over_an_ended_link_is_remembered_as_long_as_a_receipt_can_reach(story: Town) -> None:
    assert ANSWERED_KEPT_S >= LOOKBACK_MAX_S + REQUEST_LIFE_S
    person = ana(story)
    withdraws(person)
    forgotten_s = at("2027-04-01 00:00") + ANSWERED_KEPT_S
    for now_s, remembered in ((forgotten_s - 1, 1), (forgotten_s, 0)):
        story.clock.at_s = now_s
        asyncio.run(person.gym.node.written(forget_uniques))
        assert len(person.gym.node.rows(select(LINK_UNIQUE))) == remembered
