"""Claims of a period leave at its release slot, in an order that is not the one they were issued in (P6)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from town import ANA_MARCH, Membership, Town, agree, at, consent, link, town

from tallystick_consent.claims.release import SLOT_S, WINDOW_S
from tallystick_node.storage.tables import CLAIMS, MESSAGES

MARCH_CLOSES = "2027-04-16 00:00"
MEMBERS = 5


@pytest.fixture
def members(tmp_path: Path) -> Iterator[tuple[Town, list[Membership]]]:
    """Five members who have all earned their March."""
    with town(tmp_path) as story:
        gym, insurer = story.company("gym.example"), story.company("insurer.example")
        agree(story, insurer, gym)
        people = [
            consent(link(gym, insurer, at_gym=f"member-{n}", at_insurer=f"policy-{n}", town=story), story)
            for n in range(MEMBERS)
        ]
        story.clock.at_s = at("2027-03-31 23:00")
        for person in people:
            person.confirm_membership("2027-03-01 09:00")
            for day, minutes in ANA_MARCH.items():
                person.visit(f"2027-03-{day:02} 18:00", minutes)
        yield story, people


def test_claims_leave_in_one_slot_within_a_day_shuffled_and_each_at_a_time_of_its_own(
    members: tuple[Town, list[Membership]],
) -> None:
    story, people = members
    gym, insurer = people[0].gym, people[0].insurer
    story.go_to(MARCH_CLOSES)
    issued = [row.digest for row in gym.node.rows(select(CLAIMS.c.digest).order_by(CLAIMS.c.number))]
    assert len(issued) == MEMBERS
    assert list(insurer.app().claims.each()) == []  # every one waits
    waiting = gym.node.rows(
        select(MESSAGES.c.about, MESSAGES.c.not_before_s)
        .where(MESSAGES.c.kind == "claim.issued")
        .order_by(MESSAGES.c.not_before_s)
    )
    times = [row.not_before_s for row in waiting]
    assert len(set(times)) == MEMBERS
    assert max(times) - min(times) < SLOT_S
    assert at(MARCH_CLOSES) <= min(times) <= max(times) < at(MARCH_CLOSES) + WINDOW_S
    leaving = [row.about for row in waiting]
    assert leaving != issued
    story.clock.at_s = times[1] - 1
    story.settle()
    assert [row.digest for row in insurer.node.rows(select(CLAIMS.c.digest))] == leaving[:1]
    # The insurer is away for the rest of the slot: what has gathered leaves in the slot's order all the same.
    insurer.stop()
    story.release()
    insurer.start()
    story.clock.at_s += 3_600
    story.settle()
    arrived = insurer.node.rows(select(CLAIMS.c.digest).order_by(CLAIMS.c.number))
    assert [row.digest for row in arrived] == leaving


def test_a_claim_that_was_late_for_its_slot_leaves_in_the_next_and_a_restart_draws_no_other(
    members: tuple[Town, list[Membership]],
) -> None:
    story, people = members
    gym, insurer = people[0].gym, people[0].insurer
    gym.stop()
    gym.start()  # it draws with the key that it has kept
    story.clock.at_s = at(MARCH_CLOSES) + 3 * WINDOW_S
    story.settle()
    times = [row.not_before_s for row in gym.node.rows(select(MESSAGES).where(MESSAGES.c.kind == "claim.issued"))]
    assert len(times) == MEMBERS
    assert min(times) >= story.clock.at_s
    assert max(times) - min(times) < SLOT_S
    key = gym.node.custody.find("release")
    assert key is not None
    gym.stop()
    gym.start()
    assert gym.node.custody.find("release") == key
    story.release()
    assert [each.state for each in insurer.app().claims.each()] == ["accepted"] * MEMBERS
