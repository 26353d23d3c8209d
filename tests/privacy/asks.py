"""Questions to a gym about people it must not tell apart, sent over real HTTP, each answer timed (P11).

The node is a process of its own that works by itself, so that what it does about a question afterwards is in the
times of the questions that follow. Its clock stands still; the times are those of whoever asks.
"""

import http.client
import os
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean

from town import Company, Town, agree, evidence, fitness_program, town

from privacy.classifier import Area, Row, learned_area, spread_area
from tallystick.signing import sign_request
from tallystick_ledger.encoding import canonical_json, new_id, to_base64url
from tallystick_node.config import CLOCK_VARIABLE

ASKS_PATH = "/peer/v1/asks"
PERIOD = "2027-03"
STARTED_WITHIN_S = 20
WINDOW = 25
"""How many answers after a question are looked at for what the node did about it in the background."""

AREA_MAX = 0.55
BANK = "bank.example"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, as whoever asked saw it: of which group, the answer, and how long that took, in milliseconds."""

    group: str
    status: int
    body: bytes
    headers: tuple[str, ...]
    took_ms: float


@dataclass(frozen=True)
class Scene:
    """A gym, an insurer that asks it, and by kind the links that it asks about."""

    story: Town
    gym: Company
    insurer: Company
    links: dict[str, list[str]]


GROUPS = {
    "unknown": ("unknown",),
    "unlinked": ("unlinked",),
    "unconsented": ("unconsented", "undecided", "refused", "withdrawn"),
    "permitted": ("permitted",),
}
"""The kinds of links that there are, by what must not be told apart; P11 names the first three, and the fourth gets the
same answer."""


@contextmanager
def scene(folder: Path, *, people: int) -> Iterator[Scene]:
    """Found the companies, and make `people` links of each kind.

    unknown      nobody has such a link
    unlinked     a customer of the gym, linked with a bank, and not with the insurer that asks
    unconsented  linked with the insurer, which never asked for consent
    undecided    was asked, and has said nothing
    refused      was asked, and said no
    withdrawn    said yes, and stopped
    permitted    said yes
    """
    with town(folder, seed="P11") as story:
        gym, insurer, bank = (story.company(host) for host in ("gym.example", "insurer.example", BANK))
        agree(story, insurer, gym)
        bank.app().programs.publish({**fitness_program(payer=BANK), "program": "bank-fit"})
        story.settle()
        gym.app().programs.accept("bank-fit", 1)
        story.settle()

        people_of = range(people)
        found = {
            "unknown": [new_id("lnk", secrets.token_bytes(16)) for _ in people_of],
            "unlinked": [_link(gym, bank, f"unlinked-{each}", program="bank-fit") for each in people_of],
            **{
                kind: [_link(gym, insurer, f"{kind}-{each}") for each in people_of]
                for kind in (*GROUPS["unconsented"], *GROUPS["permitted"])
            },
        }
        story.settle()
        asked = {
            kind: [insurer.app().receipts.request(each).receipt for each in found[kind]]
            for kind in found
            if kind not in ("unknown", "unlinked", "unconsented")
        }
        story.settle()
        receipts = gym.app().receipts
        for each in people_of:
            receipts.refuse(asked["refused"][each], subject=f"refused-{each}")
            for kind in ("withdrawn", "permitted"):
                receipts.give(asked[kind][each], subject=f"{kind}-{each}", evidence=evidence())
        story.settle()
        for each in people_of:
            receipts.withdraw(asked["withdrawn"][each], subject=f"withdrawn-{each}")
        story.settle()
        yield Scene(story, gym, insurer, found)


def _link(gym: Company, payer: Company, subject: str, *, program: str = "ins-fit") -> str:
    """Link one person, known by the same name at both; the word that it is confirmed is not delivered yet."""
    offer = payer.app().links.offer(subject=subject, partner=gym.host, program=program, hint="yours", login="aal2")
    gym.app().links.accept(subject=subject, offer=offer.offer, hint="yours", login="aal2")
    return payer.app().links.confirm(offer).link


@contextmanager
def working_alone(company: Company) -> Iterator[None]:
    """Serve a company's node from a process of its own, as its operator does, until the block ends."""
    company.stop()
    clock = company.folder / "clock"
    clock.write_text(str(company.clock.at_s))
    process = subprocess.Popen(
        [sys.executable, "-m", "tallystick_node.cli", "serve", str(company.folder)],
        env={**os.environ, CLOCK_VARIABLE: str(clock)},
        stderr=subprocess.DEVNULL,
    )
    try:
        until_s = time.monotonic() + STARTED_WITHIN_S
        while not _is_ready(company):
            assert process.poll() is None, "the node ended"
            assert time.monotonic() < until_s, "the node did not start"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(STARTED_WITHIN_S)
        company.start()


def _is_ready(company: Company) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", company.port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def ask(of: Scene, *, count: int, order: random.Random) -> list[Asked]:
    """Ask the gym so often, about each group as often as about the others, in an order that is drawn."""
    connection = http.client.HTTPConnection("127.0.0.1", of.gym.port, timeout=30)
    groups, asked = list(GROUPS), list[Asked]()
    try:
        while len(asked) < count:
            order.shuffle(groups)
            asked += [_ask_once(of, connection, group, order) for group in groups]
    finally:
        connection.close()
    return asked


def _ask_once(of: Scene, connection: http.client.HTTPConnection, group: str, order: random.Random) -> Asked:
    about = order.choice(of.links[order.choice(GROUPS[group])])
    return post(of, connection, group, {"link": about, "program": "ins-fit", "version": 1, "period": PERIOD})


def post(of: Scene, connection: http.client.HTTPConnection, group: str, question: Mapping[str, object]) -> Asked:
    """Send one signed question, and time its answer; only the sending and the reading are in the time."""
    body = canonical_json(question)
    headers = sign_request(
        method="POST",
        url=of.gym.url + ASKS_PATH,
        body=body,
        idempotency_key=new_id("msg", secrets.token_bytes(16)),
        key_id=of.insurer.keys.id("http"),
        private_key=of.insurer.keys.ed25519("http"),
        now_s=of.story.clock.at_s,
        nonce=to_base64url(secrets.token_bytes(16)),
    )
    began_s = time.perf_counter()
    connection.request("POST", ASKS_PATH, body, {"Content-Type": "application/json", **headers})
    response = connection.getresponse()
    content = response.read()
    took_ms = (time.perf_counter() - began_s) * 1000
    return Asked(group, response.status, content, tuple(sorted(name.lower() for name in response.headers)), took_ms)


@dataclass(frozen=True, slots=True)
class Told:
    """How well the times tell two groups apart, by the best classifier of those that were tried."""

    groups: tuple[str, str]
    by: str
    area: Area


CLASSIFIERS: dict[str, Callable[[list[Row], list[Row]], Area]] = {
    "its own time": lambda one, other: spread_area([row[0] for row in one], [row[0] for row in other]),
    "the answers after it": lambda one, other: spread_area([row[2] for row in one], [row[2] for row in other]),
    "learned from all": learned_area,
}


def tell_apart(asked: Sequence[Asked]) -> list[Told]:
    """Return for each two groups how well each classifier tells them apart, the best first."""
    rows: dict[str, list[Row]] = {}
    times = [each.took_ms for each in asked]
    for at, each in enumerate(asked[:-WINDOW]):
        after = times[at + 1 : at + 1 + WINDOW]
        rows.setdefault(each.group, []).append((each.took_ms, after[0], fmean(after), max(after)))
    found = [
        Told((one, other), name, classifier(rows[one], rows[other]))
        for one, other in combinations(sorted(rows), 2)
        for name, classifier in CLASSIFIERS.items()
    ]
    return sorted(found, key=lambda told: -told.area.value)


def shift_told_ms(times: Sequence[float], *, above: float = AREA_MAX) -> float:
    """Return by how much one kind's answers would have to be later for the area to pass `above`, in milliseconds."""
    one, other = times[::2], times[1::2]
    low, high = 0.0, max(times)
    for _ in range(40):
        middle = (low + high) / 2
        told = spread_area([each + middle for each in one], other).value > above
        low, high = (low, middle) if told else (middle, high)
    return high


def shapes(asked: Sequence[Asked]) -> set[tuple[int, bytes, tuple[str, ...]]]:
    """Return the different answers there were: status, body and names of headers."""
    return {(each.status, each.body, each.headers) for each in asked}
