"""P6 measured: two payers without a link in common pool all that the claims of a month showed them, and learn no more.

Both serve the same people through one issuer. Whatever of a claim has an order is tried: when it left, in which order
it arrived, where its entry stands in the issuer's log, how long it is, and every id in it. Stated margin: of 40 people
each of these matchers names at most 6 right. Chance names one, and 7 or more once in 12,000 tries.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from town import Company, Town, evidence, fitness_program, town

from tallystick.journeys import membership_activated
from tallystick_ledger.encoding import from_base64url
from tallystick_ledger.entry import parse_entry
from tallystick_ledger.tlog.proof import parse_proof
from tallystick_node.storage.tables import CLAIMS, LINKS, MESSAGES

pytestmark = pytest.mark.long

PEOPLE = 40
RIGHT_MAX = 6
PAYERS = ("insurer.example", "bank.example")

RULE: dict[str, Any] = {
    "language": 2,
    "requires": [{"on": ["membership.activated"], "off": ["membership.ended"], "at": "period_end"}],
    "period": {"span": "calendar_month", "zone": "America/New_York", "close_after_days": 15},
}


@dataclass(frozen=True)
class Seen:
    """What one payer was shown with one claim, by name; and of whom it is, which it was not shown."""

    shown: Mapping[str, Any]
    subject: str


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Seen], list[Seen]]]:
    """Everybody joins both programs, at each payer in another order; March passes, and its claims are delivered."""
    with town(tmp_path_factory.mktemp("town")) as story:
        gym = story.company("gym.example")
        for at, host in enumerate(PAYERS):
            payer = story.company(host)
            program = {**fitness_program(payer=host), "program": f"member-{at}", "rule": RULE}
            payer.app().programs.publish({**program, "data_classes": ["membership"]})
            story.settle()
            gym.app().programs.accept(f"member-{at}", 1)
            story.settle()
            people = [f"member-{number:02}" for number in range(PEOPLE)]
            random.Random(at).shuffle(people)  # noqa: S311  # when somebody joins is her own doing, and no claim's
            _join(story, gym, payer, f"member-{at}", people)
        story.clock.at_s += 3 * 86_400
        for number in range(PEOPLE):
            kind, data = membership_activated(since=datetime.fromtimestamp(story.clock.at_s, UTC))
            gym.app().events.record(subject=f"member-{number:02}", type=kind, data=data)
        story.go_past_release("2027-04-16 00:00")
        first, second = (_seen(gym, host) for host in PAYERS)
        yield first, second


def _join(story: Town, gym: Company, payer: Company, program: str, people: list[str]) -> None:
    links: list[str] = []
    for name in people:
        offer = payer.app().links.offer(
            subject=f"{name}-there", partner=gym.host, program=program, hint="account", login="aal2"
        )
        gym.app().links.accept(subject=name, offer=offer.offer, hint="member", login="aal2")
        links.append(payer.app().links.confirm(offer).link)
    story.settle()
    asked = [payer.app().receipts.request(each).receipt for each in links]
    story.settle()
    for name, receipt in zip(people, asked, strict=True):
        gym.app().receipts.give(receipt, subject=name, evidence=evidence())
    story.settle()


def _seen(gym: Company, payer: str) -> list[Seen]:
    """Return what each claim showed a payer, from what crossed, and when it left."""
    whose = {row.id: row.subject for row in gym.node.rows(select(LINKS).where(LINKS.c.partner == payer))}
    leaving = {
        row.id: row.not_before_s
        for row in gym.node.rows(
            select(CLAIMS.c.id, MESSAGES.c.not_before_s)
            .join(MESSAGES, MESSAGES.c.about == CLAIMS.c.digest)
            .where(CLAIMS.c.partner == payer)
        )
    }
    seen: list[Seen] = []
    for order, exchange in enumerate(each for each in gym.recorder.exchanges if each.path == "/peer/v1/claims"):
        body = json.loads(exchange.request)
        said = json.loads(from_base64url(body["claim"].split("~")[0].split(".")[1]))
        if said["aud"] != payer:
            continue
        proof, entry = parse_proof(body["proof"].encode()), parse_entry(body["entry"].encode())
        shown = {
            "left": leaving[said["jti"]],
            "arrived": order,
            "index": proof.index,
            "entry at": entry.at_s,
            "entry id": entry.id,
            "issued at": said["iat"],
            "size": len(exchange.request),
            **{name: said[name] for name in ("jti", "link", "receipt", "nullifier")},
        }
        seen.append(Seen(shown, whose[said["link"]]))
    return seen


def right(first: list[Seen], second: list[Seen], of: Callable[[Seen], Any], *, backwards: bool = False) -> int:
    """Return how many people a matcher names right that lays both in the order of something shown, side by side."""
    pairs = zip(sorted(first, key=of), sorted(second, key=of, reverse=backwards), strict=True)
    return sum(one.subject == other.subject for one, other in pairs)


def test_no_order_of_what_was_shown_matches_people_better_than_chance(month: tuple[list[Seen], list[Seen]]) -> None:
    first, second = month
    assert len(first) == len(second) == PEOPLE
    found = {
        (name, backwards): right(first, second, lambda each, name=name: each.shown[name], backwards=backwards)
        for name in first[0].shown
        for backwards in (False, True)
        if len({each.shown[name] for each in (*first, *second)}) > 1  # what is the same of all tells nobody apart
    }
    assert len(found) >= 14
    assert max(found.values()) <= RIGHT_MAX, found


def test_what_is_the_same_of_all_is_the_same(month: tuple[list[Seen], list[Seen]]) -> None:
    for name in ("entry at", "issued at"):
        assert len({each.shown[name] for seen in month for each in seen}) == 1


def test_the_matcher_finds_everybody_where_the_order_is_theirs(month: tuple[list[Seen], list[Seen]]) -> None:
    first, second = month
    assert right(first, second, lambda each: each.subject) == PEOPLE
