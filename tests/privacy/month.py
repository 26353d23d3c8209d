"""A month of many people: all train at one gym, each has an insurer and a bank, and those two share no link.

Real nodes over real HTTP under one set clock. Each person links and consents at either partner at times of her own,
visits the gym, and has earned both claims when the month closes, so that no answer tells her from another. What either
partner saw is kept byte for byte, with the second at which it came.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from outside import Seen, Tap, opened
from town import NEW_YORK, Company, Town, at, evidence, fitness_program, town

from tallystick import Client
from tallystick.journeys import visit
from tallystick_node.clock import SetClock
from tallystick_node.flows.claims.closing import due_receipts

INSURER, BANK, GYM = "insurer.example", "bank.example", "gym.example"
PROGRAMS = {INSURER: "ins-fit", BANK: "bank-fit"}
BATCH = 25
"""How many people link before the nodes deliver what waits."""

PAUSES_S = (20, 600)
"""The shortest and the longest pause between two people's acts."""

STEP_S = 600
"""How far the clock moves at a time while claims leave; within a step they leave in the order of their times."""

TICK_S = 5
"""How long a round of closing periods takes, as the times in claims have it."""

ROUNDS_MAX = 10_000
CALLS = (
    "/peer/v1/links/confirmed",
    "/peer/v1/receipts/requested",
    "</peer/v1/links",
    "</peer/v1/receipts/given",
    "</peer/v1/claims",
)
"""What a partner and the gym call of each other about one person in such a month, `<` where the gym calls."""


class Watch(Tap):
    """A recorder that also keeps when each exchange was, and with whom."""

    def __init__(self, clock: SetClock) -> None:
        super().__init__()
        self._clock = clock
        self.when: list[tuple[int, int | None]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        self.when.append((self._clock.at_s, request.url.port))
        return response


@dataclass(frozen=True, slots=True)
class Sight:
    """One exchange between a partner and the gym.

    Attributes:
        order: how many exchanges with the gym the partner had seen before it.
        at_s: when it was.
        path: the call, and `<` where the gym called.
        seen: request, answer and headers, opened as far as anybody can.
    """

    order: int
    at_s: int
    path: str
    seen: Seen


@dataclass
class Pooled:
    """What two partners saw of the gym's customers: for each partner a list of sights for each person.

    The numbers of persons, from 0, are the truth that the partners do not know.

    Attributes:
        sights: by partner and person.
        left_out: how many people one of the partners saw otherwise than the rest, as when a message was sent twice; a
            machine's hiccup tells them apart, and nothing about the protocol.
    """

    sights: dict[str, dict[int, list[Sight]]]
    left_out: int


def _whole(sights: dict[str, dict[int, list[Sight]]]) -> Pooled:
    """Return the people of whom both partners saw each call once, numbered anew."""
    numbers = sorted(sights[INSURER])
    usual = [each for each in numbers if all(_is_usual(of[each]) for of in sights.values())]
    again = {host: {number: of[each] for number, each in enumerate(usual)} for host, of in sights.items()}
    return Pooled(again, len(numbers) - len(usual))


def _is_usual(sights: list[Sight]) -> bool:
    return sorted(each.path for each in sights) == sorted(CALLS)


@dataclass
class _Act:
    """One person at one partner."""

    person: int
    host: str
    offer: str = ""
    link: str = ""
    receipt: str = ""


def live(folder: Path, *, people: int, seed: str, together: bool = False) -> Pooled:
    """Let a month pass; return what the insurer and the bank saw.

    Args:
        folder: where the companies keep their data.
        people: how many, each with both partners.
        seed: decides every draw but those that OpenSSL makes itself.
        together: everybody links with both partners one after the other. Then the person's own acts tell, whatever the
            protocol does, and a matcher that finds nothing is no matcher.
    """
    drawn = random.Random(seed)  # noqa: S311  # the same in each run; no secret is made of it
    with town(folder, seed=seed, starts="2027-02-20 09:00") as story:
        gym, insurer, bank = (_watched(story, host) for host in (GYM, INSURER, BANK))
        for partner in (insurer, bank):
            partner.app().programs.publish(program(partner.host))
            story.settle()
            gym.app().programs.accept(PROGRAMS[partner.host], 1)
            story.settle()
        pairs = [[_Act(each, host) for host in (INSURER, BANK)] for each in range(people)]
        drawn.shuffle(pairs)
        acts = [act for pair in pairs for act in pair]
        if not together:
            drawn.shuffle(acts)
        for begin in range(0, len(acts), BATCH):
            _join(story, acts[begin : begin + BATCH], drawn)
        assert story.clock.at_s < at("2027-03-31 00:00"), "all have joined before the month ends"
        _train(story, people, drawn)
        _close(story)
        return _whole({each.host: _seen_by(each, gym, acts) for each in (insurer, bank)})


def program(payer: str) -> dict[str, Any]:
    """Return the program of a partner: one visit a month is enough."""
    made = fitness_program(payer=payer)
    rule = {name: value for name, value in made["rule"].items() if name != "requires_active"}
    budget = {"asset": "USD/2", "amount": 100_000_000}
    rule["at_least"] = 1
    return {**made, "program": PROGRAMS[payer], "rule": rule, "data_classes": ["visit"], "budget": budget}


def _watched(story: Town, host: str) -> Company:
    made = story.company(host)
    made.stop()
    made.recorder = Watch(story.clock)
    made.start()
    return made


def _client(company: Company) -> Client:
    """Return an app that believes its own node; what is measured is what partners see."""
    if "quick" not in company._clients:
        company._clients["quick"] = Client(company.url, key=company.secret, verify="off")
    return company._clients["quick"]


def _join(story: Town, acts: list[_Act], drawn: random.Random) -> None:
    """Some people link, each at a time of her own; are asked; and consent in another order."""
    gym = story.companies[GYM]

    def wait() -> None:
        story.clock.at_s += drawn.randint(*PAUSES_S)

    for act in acts:
        wait()
        theirs = _client(story.companies[act.host])
        offer = theirs.links.offer(
            subject=f"{act.host[0]}-{act.person}", partner=GYM, program=PROGRAMS[act.host], hint="yours", login="aal2"
        )
        act.offer = offer.offer
        _client(gym).links.accept(subject=f"g-{act.person}", offer=offer.offer, hint="yours", login="aal2")
        act.link = theirs.links.confirm(offer).link
    _deliver(story, INSURER, BANK)
    for act in acts:
        act.receipt = _client(story.companies[act.host]).receipts.request(act.link).receipt
    _deliver(story, INSURER, BANK)
    for act in acts:
        wait()
        _client(gym).receipts.give(act.receipt, subject=f"g-{act.person}", evidence=evidence())
    _deliver(story, GYM)


def _deliver(story: Town, *hosts: str) -> None:
    for host in hosts:
        story.companies[host].work()


def _train(story: Town, people: int, drawn: random.Random) -> None:
    """Everybody visits once or twice; the gym records at the end of the month, in the order of the visits."""
    visits = sorted(
        (datetime(2027, 3, 31, 6, tzinfo=NEW_YORK) + timedelta(minutes=drawn.randrange(900)), person)
        for person in range(people)
        for _ in range(drawn.randint(1, 2))
    )
    for started, person in visits:
        ended = started + timedelta(minutes=45)
        story.clock.at_s = max(story.clock.at_s, int(ended.timestamp()))
        kind, data = visit(facility="club-7", started_at=started, ended_at=ended, time_zone="America/New_York")
        _client(story.companies[GYM]).events.record(subject=f"g-{person}", type=kind, data=data)


def _close(story: Town) -> None:
    """Let the month close, and its claims leave at their slots."""
    gym = story.companies[GYM]
    story.clock.at_s = at("2027-04-16 00:01")
    while due_receipts(gym.node, rows_max=1):
        gym.work()
        story.clock.at_s += TICK_S
    until_s = story.last_release_s()
    while story.clock.at_s < until_s:
        step_s = STEP_S if any(each <= story.clock.at_s + STEP_S for each in story.waiting_releases()) else 3_600
        story.clock.at_s += step_s
        gym.work()
    for _ in range(ROUNDS_MAX):  # what did not get through is tried again, later and later
        if not story.waiting_releases():
            break
        story.clock.at_s += 3_600
        gym.work()
    story.settle()


def _seen_by(partner: Company, gym: Company, acts: list[_Act]) -> dict[int, list[Sight]]:
    """Return what a partner saw, by person: it knows which exchange is about which of its own customers."""
    whose: dict[str, int] = {}
    for act in acts:
        if act.host == partner.host:
            whose |= {act.offer: act.person, act.link: act.person, act.receipt: act.person}
    found: dict[int, list[Sight]] = {act.person: [] for act in acts}
    for order, (at_s, path, seen) in enumerate(sorted(_exchanges(partner, gym), key=lambda each: each[0])):
        persons = {whose[name] for name in _names(seen) if name in whose}
        if len(persons) == 1:
            found[persons.pop()].append(Sight(order, at_s, path, seen))
    return found


def _exchanges(partner: Company, gym: Company) -> Iterator[tuple[int, str, Seen]]:
    for company, mark in ((partner, ""), (gym, "<")):
        watch = company.recorder
        assert isinstance(watch, Watch)
        for exchange, (asked, told), (at_s, port) in zip(watch.exchanges, watch.headers, watch.when, strict=True):
            if company is gym and port != partner.port:
                continue
            seen = {
                "request": exchange.request,
                "request_size": len(exchange.request),
                "request_headers": asked,
                "response": exchange.response,
                "response_size": len(exchange.response),
                "response_headers": told,
            }
            yield at_s, mark + exchange.path, opened(seen)


def _names(seen: Seen) -> Iterator[str]:
    """Yield every text in an exchange."""
    if isinstance(seen, dict):
        for each in seen.values():
            yield from _names(each)
    elif isinstance(seen, list):
        for each in seen:
            yield from _names(each)
    elif isinstance(seen, str):
        yield seen
