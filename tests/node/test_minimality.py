"""P17 on real nodes: a second question that tells too much beside the first is refused wherever it could come in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile import partner
from sqlalchemy import select
from town import Company, Town, agree, consent, evidence, fitness_program, link, town

from tallystick import wire
from tallystick.errors import NodeProblem
from tallystick_consent.signed import Proposal
from tallystick_node.storage.tables import AGREEMENTS, PROGRAMS

EIGHT = {**fitness_program(), "program": "ins-more", "rule": {**fitness_program()["rule"], "at_least": 8}}
"""Beside `at least 12`, `at least 8` tells a band."""

STAND_UP: dict[str, Any] = {
    "language": 2,
    "requires": [{"on": ["membership.activated"], "off": ["membership.ended"], "at": "period_end"}],
    "period": {"span": "calendar_month", "zone": "America/New_York", "close_after_days": 15},
}
"""A rule that asks nothing about visits."""


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    """A gym and an insurer that have agreed on twelve days a month."""
    with town(tmp_path) as made:
        gym, insurer = made.company("gym.example"), made.company("insurer.example")
        agree(made, insurer, gym)
        yield made


def companies(story: Town) -> tuple[Company, Company]:
    return story.companies["gym.example"], story.companies["insurer.example"]


def test_it_is_not_published(story: Town) -> None:
    _, insurer = companies(story)
    with pytest.raises(NodeProblem) as refused:
        insurer.app().programs.publish(EIGHT)
    assert (refused.value.code, refused.value.status) == ("combined_minimality", 422)
    assert [row.program for row in insurer.node.rows(select(PROGRAMS.c.program))] == ["ins-fit"]


def test_it_is_not_agreed_to_where_a_payer_proposes_it_all_the_same(story: Town) -> None:
    gym, insurer = companies(story)
    proposal = Proposal(
        agreement=f"agr_{'a' * 26}", payer=insurer.host, issuer=gym.host, program=EIGHT, at=story.clock.at_s
    )
    sent = partner(insurer, gym, "/peer/v1/programs", wire.PeerSigned(token=insurer.node.signed(proposal)))
    assert sent.status_code == 200
    with pytest.raises(NodeProblem) as refused:
        gym.app().programs.accept("ins-more", 1)
    assert refused.value.code == "combined_minimality"
    signed = gym.node.rows(select(AGREEMENTS.c.program).where(AGREEMENTS.c.issuer_token.is_not(None)))
    assert [row.program for row in signed] == ["ins-fit"]


@pytest.mark.parametrize(
    "account", ["ana-at-ins", "ana-second-account"], ids=["not asked", "not given: only the gym knows that it is Ana"]
)
def test_consent_is_refused_where_an_older_version_still_lives_in_a_receipt(story: Town, account: str) -> None:
    """The twelve days end with version 2, so that eight may be published; but Ana's receipt is of version 1."""
    gym, insurer = companies(story)
    consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    for program in ({**fitness_program(), "version": 2, "data_classes": ["membership"], "rule": STAND_UP}, EIGHT):
        insurer.app().programs.publish(program)
        story.settle()
        gym.app().programs.accept(str(program["program"]), int(str(program["version"])))
        story.settle()
    more = link(gym, insurer, at_gym="ana-at-gym", at_insurer=account, town=story, program="ins-more")
    if account == "ana-at-ins":
        with pytest.raises(NodeProblem) as refused:
            insurer.app().receipts.request(more.link)
    else:
        asked = insurer.app().receipts.request(more.link).receipt
        story.settle()
        with pytest.raises(NodeProblem) as refused:
            gym.app().receipts.give(asked, subject="ana-at-gym", evidence=evidence())
        assert insurer.app().receipts.get(asked).state == "requested"  # only Ana is told why
    assert refused.value.code == "combined_minimality"
