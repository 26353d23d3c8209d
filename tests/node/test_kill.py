"""`kill -9` of a node that records events, at random instants: nothing acknowledged is lost (P2, P10)."""

import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from forked import Forks
from sqlalchemy import select
from town import NEW_YORK, agree, at, consent, link, town

from tallystick import Client
from tallystick.audit import DirectorySource, audit
from tallystick.errors import NodeUnreachable
from tallystick.journeys import visit
from tallystick_consent.events import parse_event, parse_payload
from tallystick_ledger.encoding import from_base64url
from tallystick_ledger.tlog.checkpoint import parse_checkpoint_body
from tallystick_ledger.tlog.merkle import root_at
from tallystick_ledger.tlog.reader import TileReader
from tallystick_ledger.tlog.tiles import CHECKPOINT
from tallystick_node.clock import SetClock
from tallystick_node.config import CLOCK_VARIABLE
from tallystick_node.flows.events import get_event
from tallystick_node.log.store import FolderStore
from tallystick_node.setup import open_node
from tallystick_node.storage.tables import EVENTS

KILLS = (5, pytest.param(50, marks=pytest.mark.long))
LIFE_MAX_S = 1.0
"""A node is killed at a random instant after its start: while it starts, or while it records."""

APPS = 4
REPEATED = 20
SUBJECT = "ana-at-gym"
STARTED_WITHIN_S = 20
STOPPED_WITHIN_S = 20


@dataclass(frozen=True)
class Acknowledged:
    """What an app was told: the event's id, and its entry at its place in the ledger."""

    event: str
    index: int
    entry: str


@dataclass
class Gym:
    """A gym's node whose customer has said yes; it is for the test to serve it."""

    folder: Path
    url: str
    key: str
    fingerprint: str
    clock: Path

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def environment(self) -> dict[str, str]:
        return {CLOCK_VARIABLE: str(self.clock)}

    def client(self) -> Client:
        return Client(self.url, key=self.key, fingerprint=self.fingerprint, retries_max=0)

    def set_clock(self, now_s: int) -> None:
        beside = self.clock.with_suffix(".new")
        beside.write_text(str(now_s))
        beside.rename(self.clock)

    def published(self) -> list[str]:
        """Return the entries that the published head covers, which its tiles lead to."""
        head = parse_checkpoint_body((self.log / CHECKPOINT).read_bytes().partition(b"\n\n")[0] + b"\n")
        reader = TileReader(FolderStore(self.log).read, head.size)
        assert root_at(head.size, reader) == head.root
        return [reader.entry(index).decode() for index in range(head.size)]


class App:
    """One of the gym's apps: it records visits one after the other, and each again until it is acknowledged."""

    def __init__(self, gym: Gym, number: int) -> None:
        self.acknowledged: dict[str, Acknowledged] = {}
        self.failed: BaseException | None = None
        self._gym = gym
        self._number = number
        self._no_more = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"app {number}", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Return once the last visit that was begun is acknowledged."""
        self._no_more.set()
        self._thread.join(STARTED_WITHIN_S)
        assert not self._thread.is_alive()
        assert self.failed is None, self.failed

    def _run(self) -> None:
        try:
            with self._gym.client() as client:
                while not self._no_more.is_set():
                    key = f"swipe-{self._number}-{len(self.acknowledged)}"
                    self.acknowledged[key] = self._recorded(client, key)
        except BaseException as error:  # noqa: BLE001  # told when the app is to finish
            self.failed = error

    def _recorded(self, client: Client, key: str) -> Acknowledged:
        while True:
            try:
                return record(client, key)
            except NodeUnreachable:
                time.sleep(0.005)


def swipe(key: str) -> tuple[str, dict[str, Any]]:
    """Return type and data of the visit that an app records under a key."""
    started, ended = (datetime.fromisoformat(f"2027-03-01 {hour}").replace(tzinfo=NEW_YORK) for hour in ("08", "09"))
    return visit(facility=f"club-{key}", started_at=started, ended_at=ended, time_zone="America/New_York")


def record(client: Client, key: str) -> Acknowledged:
    """Record a visit; the client checks the proof that comes with it."""
    kind, data = swipe(key)
    recorded = client.events.record(subject=SUBJECT, type=kind, data=data, idempotency_key=key)
    (proof,) = recorded.proofs
    return Acknowledged(recorded.event, proof.index, proof.entry)


def founded(folder: Path) -> Gym:
    """A gym whose customer has said yes to the insurer; both are closed."""
    with town(folder) as story:
        gym, insurer = story.company("gym.example"), story.company("insurer.example")
        agree(story, insurer, gym)
        consent(link(gym, insurer, at_gym=SUBJECT, at_insurer="ana-at-ins", town=story), story)
        return Gym(gym.folder, gym.url, gym.secret, gym.keys.fingerprint, folder / "clock")


def assert_published(gym: Gym, apps: list[App], *, all_of_it: bool = False) -> None:
    """What was acknowledged stands in the published log at its place, as far as that log covers it by now."""
    entries = gym.published()
    acknowledged = [each for app in apps for each in list(app.acknowledged.values())]
    covered = [each for each in acknowledged if each.index < len(entries)]
    assert all(entries[each.index] == each.entry for each in covered)
    assert not all_of_it or len(covered) == len(acknowledged)


@contextmanager
def served(gym: Gym, errors: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Serve the node as an operator does."""
    with errors.open("ab") as stream:
        command = [sys.executable, "-m", "tallystick_node.cli", "serve", str(gym.folder)]
        process = subprocess.Popen(command, env={**os.environ, **gym.environment}, stderr=stream)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(STOPPED_WITHIN_S)


@pytest.mark.parametrize("kills", KILLS)
def test_kills_lose_nothing_that_was_acknowledged_and_leave_a_log_that_verifies(tmp_path: Path, kills: int) -> None:
    seed = secrets.randbelow(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)  # noqa: S311  # instants, not secrets
    gym = founded(tmp_path)
    before, now_s, errors = len(gym.published()), at("2027-03-01 10:00"), tmp_path / "errors"
    gym.set_clock(now_s)
    apps = [App(gym, number) for number in range(APPS)]

    with Forks(errors=errors, environment=gym.environment) as forks:
        for _ in range(kills):
            process = forks.serve(gym.folder)
            time.sleep(chance.uniform(0, LIFE_MAX_S))
            os.kill(process, signal.SIGKILL)
            assert forks.wait() == -signal.SIGKILL
            assert_published(gym, apps)
            # Days pass, so that the keys in custody are wrapped anew under a node that is killed.
            now_s += chance.randrange(86_400 // 2)
            gym.set_clock(now_s)

    with served(gym, errors) as serving:
        for app in apps:
            app.finish()
        acknowledged = {key: each for app in apps for key, each in app.acknowledged.items()}
        with gym.client() as client:
            for key in chance.sample(sorted(acknowledged), min(REPEATED, len(acknowledged))):
                assert record(client, key) == acknowledged[key], "a repeated request is answered as it was"
        serving.terminate()
        serving.wait(STOPPED_WITHIN_S)

    node = open_node(gym.folder, clock=SetClock(now_s))
    node.publisher.publish()
    rows = node.rows(select(EVENTS.c.id))
    assert sorted(row.id for row in rows) == sorted(each.event for each in acknowledged.values())
    for key, each in acknowledged.items():
        opened = parse_payload(from_base64url(get_event(node, each.event).opening.payload))
        assert opened == parse_event(*swipe(key), event_id=each.event)
    node.close()
    assert_published(gym, apps, all_of_it=True)
    report = audit([DirectorySource(str(gym.log))])
    assert report.findings == ()
    assert report.sources[0].entries["event"] == len(acknowledged)
    assert report.sources[0].size == before + len(acknowledged)
    assert "Traceback" not in errors.read_text()
