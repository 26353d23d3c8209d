"""A town of companies for the stories: real nodes, real HTTP, real databases; only the clock is set by hand.

Time moves when a story says so, and nothing happens by itself: `settle` lets every node do what is due, until nothing
is left to do. Companies are `gym.example`, `insurer.example` and others of that kind.
"""

import asyncio
import hashlib
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import uvicorn
from databases import ON_POSTGRES, lay_files, required_server, settings_for_databases
from sqlalchemy import select

from tallystick import Client
from tallystick.journeys import membership_activated, visit
from tallystick.tls import tls_context
from tallystick.wire import SCOPES
from tallystick_consent.receipts.evidence import Evidence
from tallystick_ledger.entry import Entry, parse_entry
from tallystick_node.app import make_app
from tallystick_node.clock import SetClock
from tallystick_node.config import Databases, databases_of, load_settings
from tallystick_node.jobs import Jobs
from tallystick_node.node import Node
from tallystick_node.operator.apps import add_app_key
from tallystick_node.operator.partners import add_partner
from tallystick_node.setup import create_node, open_node
from tallystick_node.storage.staging import beside
from tallystick_node.storage.tables import HEADS, MADE_GOOD, MESSAGES

NEW_YORK = ZoneInfo("America/New_York")
STARTED_WITHIN_S = 20
ROUNDS_MAX = 20

ANA_MARCH = {1: 55, 2: 48, 4: 61, 5: 40, 8: 52, 9: 35, 11: 70, 12: 44, 15: 58, 18: 22, 19: 47, 22: 65, 25: 51}
"""SCENARIOS section 1: day of March 2027 and minutes of each visit: 13 visits, 12 qualifying days."""


def at(text: str, zone: ZoneInfo = NEW_YORK) -> int:
    """Return the seconds of a local time such as `2027-03-05 18:00`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


def seeded(seed: str) -> Callable[[int], bytes]:
    """Return a source of bytes that a seed decides, so that two runs can be compared."""
    count = 0

    def draw(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"{seed}/{count}".encode()).digest(size)

    return draw


@dataclass
class Exchange:
    """One HTTP exchange between two companies, as a recorder saw it."""

    path: str
    request: bytes
    status: int
    response: bytes


class Recorder(httpx.AsyncBaseTransport):
    """Carries requests between companies, and keeps a copy of each.

    Attributes:
        lose_answers_to: a path whose answers get lost on the way back, None for none.
        lose_requests_to: a path whose requests get lost on the way, None for none.
        unknown: a path that what stands in front of the others does not know, None for none.
    """

    def __init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport(verify=tls_context())
        self.lose_answers_to: str | None = None
        self.lose_requests_to: str | None = None
        self.unknown: str | None = None
        self.exchanges: list[Exchange] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        if request.url.path == self.lose_requests_to:
            raise httpx.ReadError("the request was lost")
        if request.url.path == self.unknown:
            return httpx.Response(404, stream=httpx.ByteStream(b""))
        response = await self._inner.handle_async_request(request)
        content = b"".join([chunk async for chunk in response.stream])  # type: ignore[union-attr]
        await response.aclose()
        if request.url.path == self.lose_answers_to:
            raise httpx.ReadError("the answer was lost")
        self.exchanges.append(Exchange(request.url.path, body, response.status_code, content))
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(content))

    async def aclose(self) -> None:
        await self._inner.aclose()


@dataclass(frozen=True)
class Backup:
    """A copy of all that a company has: its folder, and where its databases are no files, copies of those."""

    folder: Path
    databases: dict[str, str]


class Company:
    """One company's node, served over HTTP in a thread, and a client of its own app."""

    def __init__(
        self,
        folder: Path,
        host: str,
        clock: SetClock,
        random_bytes: Callable[[int], bytes],
        *,
        on_postgres: bool = ON_POSTGRES,
    ) -> None:
        self.folder = folder
        self.host = host
        self.clock = clock
        self._random_bytes = random_bytes
        self.recorder = Recorder()
        self.descriptor_url: str | None = None
        self._find_address()
        self.keys = create_node(
            folder,
            host=host,
            url=self.url,
            bind=f"127.0.0.1:{self.port}",
            sandbox=True,
            clock=clock,
            random_bytes=random_bytes,
            **settings_for_databases(on_postgres=on_postgres),
        )
        lay_files(self.databases)
        self.secret = add_app_key(folder, name="app", scopes=SCOPES, clock=clock).secret
        self.node: Node
        self._server: uvicorn.Server | None = None
        self._clients: dict[str, Client] = {}
        self._office = ""

    def _find_address(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def replica(self) -> "Company":
        """Open another node of the same company, on the same databases and folder; partners do not hear of it."""
        made = copy(self)
        made._server, made._clients, made.recorder = None, {}, Recorder()
        made._find_address()
        made.start()
        return made

    @property
    def descriptor(self) -> str:
        """The company's signed descriptor; it names another address once the company has moved."""
        if self.descriptor_url is None:
            return (self.folder / "descriptor.jwt").read_text().strip()
        moved = load_settings(self.folder).model_copy(update={"url": self.descriptor_url})
        return self.keys.descriptor(moved)

    @property
    def databases(self) -> Databases:
        """Where the company keeps its rows, and where its keys."""
        return databases_of(load_settings(self.folder), self.folder, {})

    @property
    def log(self) -> Path:
        """The company's published log."""
        return self.folder / "log"

    def trust(self, other: "Company") -> None:
        """Two people have compared fingerprints."""
        add_partner(self.folder, other.descriptor, expected_fingerprint=other.keys.fingerprint, clock=self.clock)

    def start(self) -> None:
        """Open the doors."""
        self.node = open_node(self.folder, clock=self.clock, random_bytes=self._random_bytes, transport=self.recorder)
        app = make_app(self.node, works_by_itself=False)
        config = uvicorn.Config(app, host="127.0.0.1", port=self.port, log_level="error", access_log=False)
        self._server = uvicorn.Server(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._server.serve(),), name=self.host, daemon=True
        )
        self._thread.start()
        for _ in range(STARTED_WITHIN_S * 100):
            if self._server.started:
                break
            self._thread.join(0.01)
        assert self._server.started, f"{self.host} did not start"
        self.jobs: Jobs = app.state.jobs

    def stop(self) -> None:
        """Close the doors; what is on disk stays."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if self._server is not None:
            self._server.should_exit = True
            self._thread.join()
            self._loop.close()
            self.node.close()
            self._server = None

    def back_up(self) -> Backup:
        """Copy all that the company has; it is closed."""
        folder = shutil.copytree(self.folder, self.folder.with_name(f"{self.folder.name}-backup"))
        served = [place for place in (self.databases.node, self.databases.custody) if isinstance(place, str)]
        return Backup(folder, {place: required_server().copy(place) for place in served})

    def restore(self, backup: Backup, *, rows_alone: bool = False, custody_alone: bool = False) -> None:
        """Put a backup back, all of it or the company's rows, or its keys, alone; it is closed.

        A backup of keys is never put back with the rows in earnest; here it is, and nobody was erased meanwhile.
        """
        rows = self.databases.node
        if custody_alone:
            keys = self.databases.custody
            if isinstance(keys, Path):
                for left in keys.parent.glob(f"{keys.name}*"):
                    left.unlink()
                shutil.copy(backup.folder / keys.relative_to(self.folder), keys)
            else:
                required_server().replace(keys, by=backup.databases[keys])
            return
        if not rows_alone:
            shutil.rmtree(self.folder)
            shutil.copytree(backup.folder, self.folder)
        elif isinstance(rows, Path):
            shutil.copy(backup.folder / rows.name, rows)
        for place, copied in backup.databases.items():
            if place == rows or not rows_alone:
                required_server().replace(place, by=copied)

    def lose_rows(self) -> None:
        """Lose the rows, and nothing else; it is closed."""
        rows = self.databases.node
        if isinstance(rows, Path):
            for each in beside(rows):
                each.unlink(missing_ok=True)
        else:
            required_server().empty(rows)

    @property
    def is_open(self) -> bool:
        """Whether the node is running."""
        return self._server is not None

    def work(self) -> None:
        """Let the node do what is due."""
        asyncio.run_coroutine_threadsafe(self.jobs.tick(), self._loop).result(60)

    def housekeep(self) -> None:
        """Let the node do what is due here, and tell nobody of it yet."""
        asyncio.run_coroutine_threadsafe(self.jobs.housekeep(), self._loop).result(60)

    def app(self, key: str | None = None) -> Client:
        """Return a client of the company's own app, which verifies what the node tells it."""
        key = key or self.secret
        if key not in self._clients:
            self._clients[key] = Client(self.url, key=key, fingerprint=self.keys.fingerprint)
        return self._clients[key]

    def office(self) -> Client:
        """Return a client of the company's back office, which keeps on record who speaks for whom."""
        if not self._office:
            self._office = add_app_key(
                self.folder, name="office", scopes=["standings:write", "receipts:read"], clock=self.clock
            ).secret
        return self.app(self._office)

    def key(self, *scopes: str, life_days: int | None = None) -> str:
        """Return a new app key with only these scopes."""
        return add_app_key(self.folder, name="limited", scopes=scopes, clock=self.clock, life_days=life_days).secret


@dataclass
class Town:
    """All companies of one story, under one clock."""

    folder: Path
    clock: SetClock
    seed: str = "town"
    on_postgres: bool = ON_POSTGRES
    companies: dict[str, Company] = field(default_factory=dict)

    def company(self, host: str) -> Company:
        """Found a company, and introduce it to all others."""
        random_bytes = seeded(f"{self.seed}/{host}")
        made = Company(self.folder / host, host, self.clock, random_bytes, on_postgres=self.on_postgres)
        for other in self.companies.values():
            made.trust(other)
            other.trust(made)
        self.companies[host] = made
        made.start()
        return made

    def settle(self) -> None:
        """Let every open node work until nothing changes any more."""
        before: list[tuple[Any, ...]] = []
        for _ in range(ROUNDS_MAX):
            opened = [company for company in self.companies.values() if company.is_open]
            for company in opened:
                company.work()
            now = [_state(company) for company in opened]
            if now == before:
                return
            before = now
        raise AssertionError("the town does not come to rest")

    def go_to(self, text: str, zone: ZoneInfo = NEW_YORK) -> None:
        """Set the clock to a local time, and let everybody work, then and whenever an answer is to be made good."""
        until_s = at(text, zone)
        self._make_good(until_s)
        self.clock.at_s = until_s
        self.settle()

    def go_past_release(self, text: str, zone: ZoneInfo = NEW_YORK) -> None:
        """Set the clock to a period's close, then to when the last claim leaves that waits for its release slot."""
        self.go_to(text, zone)
        self.release()

    def release(self) -> None:
        """Set the clock to when the last claim leaves that waits for its release slot, and let everybody work."""
        last_s = self.last_release_s()
        self._make_good(last_s)
        self.clock.at_s = max(self.clock.at_s, last_s)
        self.settle()

    def _make_good(self, until_s: int) -> None:
        """Let the clock stand still whenever an answer is due that makes good what a correction changed: it is issued
        at its own time, or gets another."""
        while due := [each for each in self.planned_answers() if self.clock.at_s < each <= until_s]:
            self.clock.at_s = min(due)
            self.settle()

    def last_release_s(self) -> int:
        """Return when the last claim leaves that waits for its release slot; now, where none does."""
        return max([self.clock.at_s, *self.waiting_releases()])

    def planned_answers(self) -> list[int]:
        """Return when each claim is issued that makes good what a correction changed."""
        open_ones = (each for each in self.companies.values() if each.is_open)
        return [int(row[0]) for each in open_ones for row in each.node.rows(select(MADE_GOOD.c.due_s))]

    def waiting_releases(self) -> list[int]:
        """Return when each claim leaves that waits for its release slot, or is issued after a correction, and the word
        that one is revoked."""
        waits = MESSAGES.c.kind.in_(("claim.issued", "claim.revoked")) & (MESSAGES.c.state == "queued")
        return [
            int(row[0])
            for company in self.companies.values()
            if company.is_open
            for query in (select(MESSAGES.c.not_before_s).where(waits), select(MADE_GOOD.c.due_s))
            for row in company.node.rows(query)
        ]

    def close(self) -> None:
        """Close every company."""
        for company in self.companies.values():
            company.stop()


def _state(company: Company) -> tuple[Any, ...]:
    heads = company.node.rows(select(HEADS.c.size))
    messages = company.node.rows(select(MESSAGES.c.number, MESSAGES.c.state, MESSAGES.c.attempts))
    return (
        tuple(tuple(row) for row in heads),
        tuple(tuple(row) for row in messages),
        company.node.publisher.published_size,
    )


def entries(company: Company, kind: str) -> list[Entry]:
    """Return the published entries of a kind."""
    size = company.node.publisher.published_size
    proven = (company.node.prove(company.node.shards.current.own.name, index) for index in range(size))
    found = [parse_entry(each.entry.encode()) for each in proven if each is not None]
    return [each for each in found if each.kind == kind]


@contextmanager
def town(
    folder: Path, *, starts: str = "2027-02-27 09:00", seed: str = "town", on_postgres: bool = ON_POSTGRES
) -> Iterator[Town]:
    """Found a town; it is closed at the end of the story."""
    made = Town(folder, SetClock(at(starts)), seed, on_postgres)
    try:
        yield made
    finally:
        made.close()


def fitness_program(*, payer: str = "insurer.example", issuers: tuple[str, ...] = ("gym.example",)) -> dict[str, Any]:
    """Return the program of journey 1, as data (SCENARIOS section 1)."""
    return {
        "program": "ins-fit",
        "version": 1,
        "title": "Twelve active days a month",
        "payer": payer,
        "issuers": list(issuers),
        "purpose": "dpv:PersonalisedBenefits",
        "rung": "predicate",
        "data_classes": ["membership", "visit"],
        "rule": {
            "events": "visit.ended",
            "where": [{"member": "source", "one_of": ["geofence", "turnstile"]}],
            "merge_within_s": 8 * 3600,
            "day_basis": "facility_local",
            "day_min_elapsed_s": 30 * 60,
            "measure": "qualified_days",
            "at_least": 12,
            "period": "calendar_month",
            "zone": "America/New_York",
            "close_day": 15,
            "requires_active": "membership",
        },
        "claim_valid_days": 30,
        "consent_days": 365,
        "retention_days": 90,
        "reward": {"asset": "USD/2", "amount": 2000},
        "budget": {"asset": "USD/2", "amount": 10000},
        "fee": {"asset": "USD/2", "amount": 100},
        "notice": {
            "statement": "Your gym tells your insurer whether you trained on at least 12 days in a month.",
            "example": "They see: at least 12 days in March: yes.",
            "silence": "If nothing comes, they can take it that you did not reach 12 days.",
            "hidden": "Never: how often, when, where, how long, or what you did.",
            "reward": "$20.00 off your premium for each such month.",
        },
    }


def evidence(app: str = "app") -> Evidence:
    """Return what an app vouches for when its customer, logged in, says yes."""
    return Evidence(grade="app_asserted", app=app, login="aal2")


@dataclass
class Membership:
    """One person, known to a gym and an insurer under their own ids, and what links them."""

    gym: Company
    insurer: Company
    at_gym: str
    at_insurer: str
    link: str = ""
    receipt: str = ""

    def visit(self, start: str, minutes: int, *, facility: str = "club-7", source: str = "turnstile") -> str:
        """Record a visit that starts at a local time; return the event's id."""
        started = datetime.fromisoformat(start).replace(tzinfo=NEW_YORK)
        started = started.astimezone(ZoneInfo("UTC")).astimezone(NEW_YORK)
        ended = (started.astimezone(ZoneInfo("UTC")) + timedelta(minutes=minutes)).astimezone(NEW_YORK)
        kind, data = visit(
            facility=facility,
            started_at=started,
            ended_at=ended,
            time_zone="America/New_York",
            source=source,  # type: ignore[arg-type]
            assurance="operator" if source == "turnstile" else "device",
        )
        return self.gym.app().events.record(subject=self.at_gym, type=kind, data=data).event

    def confirm_membership(self, when: str) -> str:
        """The gym confirms that the person is its member."""
        kind, data = membership_activated(since=datetime.fromisoformat(when).replace(tzinfo=NEW_YORK))
        return self.gym.app().events.record(subject=self.at_gym, type=kind, data=data).event

    def train(self, town: Town, days: Mapping[int, int], *, month: str = "2027-03") -> None:
        """Record a visit at 18:00 on each day, on that day's evening."""
        for day, minutes in days.items():
            town.clock.at_s = at(f"{month}-{day:02} 22:00")
            self.visit(f"{month}-{day:02} 18:00", minutes)


def agree(town: Town, insurer: Company, *issuers: Company) -> None:
    """The insurer publishes its program, each issuer signs it."""
    program = fitness_program(payer=insurer.host, issuers=tuple(each.host for each in issuers))
    insurer.app().programs.publish(program)
    town.settle()
    for issuer in issuers:
        issuer.app().programs.accept("ins-fit", 1)
    town.settle()


def link(
    gym: Company, insurer: Company, *, at_gym: str, at_insurer: str, town: Town, program: str = "ins-fit"
) -> Membership:
    """One person, logged in at both apps, links the two accounts."""
    offer = insurer.app().links.offer(
        subject=at_insurer, partner=gym.host, program=program, hint="policy ending 21", login="aal2"
    )
    gym.app().links.accept(subject=at_gym, offer=offer.offer, hint="member since 2020", login="aal2")
    linked = insurer.app().links.confirm(offer)
    town.settle()
    return Membership(gym, insurer, at_gym, at_insurer, link=linked.link)


def consent(person: Membership, town: Town) -> Membership:
    """The insurer asks, the person says yes at the gym, the insurer signs."""
    asked = person.insurer.app().receipts.request(person.link)
    town.settle()
    person.receipt = person.gym.app().receipts.give(asked.receipt, subject=person.at_gym, evidence=evidence()).receipt
    town.settle()
    return person
