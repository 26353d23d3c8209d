"""docker-compose.yml, played without an engine: each service of ours as a process, on a real PostgreSQL.

Commands, environments, health checks and the order of starting are read from the file, and run as they stand there.
What a container gives is put in place by name, and by nothing else: `/data` is a folder a volume, a service's name with
its port is an address of loopback, and so is where it listens.
"""

import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import databases
import httpx
import psycopg
import pytest
import yaml
from town import ANA_MARCH, Membership, agree, at, consent, link

from tallystick import Client
from tallystick.audit import DirectorySource, audit
from tallystick_node.cli import main

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "docker-compose.yml"
OURS = "tallystick"
ENTRYPOINT = [sys.executable, "-m", main.__module__]
WITHIN_S = 90
REST_S = 1.5
VARIABLE = re.compile(r"\$\{([A-Z_]+)(:[-?])?([^}]*)\}")


def interpolated(value: Any, said: Mapping[str, str]) -> Any:
    """Return a value of the file with its variables filled in: `${A}`, `${A:-otherwise}` and `${A:?required}`."""
    if isinstance(value, dict):
        return {name: interpolated(each, said) for name, each in value.items()}
    if isinstance(value, list):
        return [interpolated(each, said) for each in value]
    if not isinstance(value, str):
        return value

    def fill(found: re.Match[str]) -> str:
        name, how, otherwise = found.groups()
        if said.get(name):
            return said[name]
        assert how != ":?", f"{name} is required"
        return otherwise if how == ":-" else ""

    return VARIABLE.sub(fill, value)


@dataclass
class Ship:
    """The file's services, as processes."""

    folder: Path
    services: dict[str, Any]
    addresses: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def volume(self, service: str) -> Path:
        """Return the folder that stands for a service's `/data`."""
        (mounted,) = self.services[service]["volumes"]
        name, _, inside = mounted.partition(":")
        assert inside == "/data"
        return self.folder / name

    def put_in_place(self, service: str, text: str) -> str:
        """Return a text of the file with what a container would give put in place."""
        owner = next(name for name in self.addresses if service.removesuffix("-init") == name)
        text = text.replace("0.0.0.0:8000", self.addresses[owner]).replace("127.0.0.1:8000", self.addresses[owner])
        for name, address in self.addresses.items():
            text = re.sub(rf"(?<=[/@]){name}:[0-9]+", address, text)
        return re.sub(r"^/data(?=/|$)", str(self.volume(service)), text)

    def environment(self, service: str) -> dict[str, str]:
        """Return a service's environment, and what every process here needs to find its interpreter."""
        named = {name: self.put_in_place(service, text) for name, text in self.services[service]["environment"].items()}
        return {"PATH": os.environ["PATH"], **named}

    def start(self, service: str) -> None:
        """Start a service with exactly its command."""
        command = [self.put_in_place(service, word) for word in self.services[service]["command"]]
        errors = (self.folder / f"{service}.log").open("ab")
        with errors:
            self.running[service] = subprocess.Popen(
                [*ENTRYPOINT, *command], env=self.environment(service), stdout=errors, stderr=errors
            )

    def stop(self, service: str) -> None:
        """Stop a service as an engine does."""
        process = self.running.pop(service)
        process.terminate()
        process.wait(WITHIN_S)

    def up(self) -> None:
        """Start everything of ours in the order that the file asks for, each once what it depends on is as it says."""
        waiting = [name for name, service in self.services.items() if service.get("image") == OURS]
        while waiting:
            ready = [name for name in waiting if not set(self.services[name].get("depends_on", {})) & set(waiting)]
            assert ready, "services wait for each other"
            for name in ready:
                for other, how in self.services[name].get("depends_on", {}).items():
                    if how["condition"] == "service_completed_successfully":
                        assert self.running.pop(other).wait(WITHIN_S) == 0, (self.folder / f"{other}.log").read_text()
                self.start(name)
                waiting.remove(name)
        for name in [name for name in self.running if not name.endswith("-init")]:
            self.wait_until_healthy(name)

    def wait_until_healthy(self, service: str) -> None:
        """Run the health check of the image, as the Dockerfile has it, until it says yes."""
        dockerfile = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
        (found,) = re.findall(r"^HEALTHCHECK .*? CMD (\[.*\])$", dockerfile, re.MULTILINE)
        command = [self.put_in_place(service, word) for word in json.loads(found)]
        command[0] = sys.executable
        until = time.monotonic() + WITHIN_S
        while subprocess.run(command, capture_output=True, check=False).returncode != 0:
            assert self.running[service].poll() is None, (self.folder / f"{service}.log").read_text()
            assert time.monotonic() < until, f"{service} is not healthy"
            time.sleep(0.1)

    def run(self, service: str, *words: str) -> str:
        """Run a command in a service, as `docker compose exec` does; return what it prints."""
        command = [*ENTRYPOINT, *(self.put_in_place(service, word) for word in words)]
        done = subprocess.run(
            command, env=self.environment(service), capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


class Clock:
    """The clock of the sandbox, in the file that every service reads."""

    def __init__(self, path: Path, at_s: int) -> None:
        self.path = path
        self.at_s = at_s

    @property
    def at_s(self) -> int:
        return self._at_s

    @at_s.setter
    def at_s(self, at_s: int) -> None:
        self._at_s = at_s
        beside = self.path.with_suffix(".new")
        beside.write_text(f"{at_s}\n")
        beside.rename(self.path)


class Company:
    """A company of the file, as the story wants one: its name, and its own app."""

    def __init__(self, ship: Ship, service: str) -> None:
        self.host = f"{service}.example"
        self.service = service
        self.log = ship.volume(service) / "log"
        self.url = f"http://{ship.addresses[service]}"
        self.fingerprint = ship.run(service, "fingerprint", "/data")
        self.secret = ship.run(service, "keys", "add", "/data", "app", "--every-scope")
        self._client = Client(self.url, key=self.secret, fingerprint=self.fingerprint)

    def app(self) -> Client:
        return self._client

    def close(self) -> None:
        self._client.close()


class Town:
    """What the story asks of its town: the time, and that everybody has come to rest."""

    def __init__(self, clock: Clock, companies: list[Company]) -> None:
        self.clock = clock
        self._companies = companies

    def settle(self) -> None:
        """Wait until nothing is published any more; the clock goes on meanwhile, so that what failed is tried again."""
        until, before, since = time.monotonic() + WITHIN_S, [b""], time.monotonic()
        while time.monotonic() - since < REST_S:
            assert time.monotonic() < until, "the companies do not come to rest"
            time.sleep(0.1)
            now = [
                httpx.get(f"{each.url}/log/2027/checkpoint").content.partition(b"\n\n")[0] for each in self._companies
            ]
            if now != before:
                before, since = now, time.monotonic()
        self.clock.at_s += 1


@pytest.fixture
def ship(tmp_path: Path) -> Iterator[Ship]:
    """The services of the file, and a PostgreSQL set up as it says; nothing of ours runs yet."""
    owner = secrets.token_hex(8)
    server = databases.start_server(password=owner)
    if server is None:
        pytest.skip(databases.NO_SERVER)
    said = {
        "POSTGRES_PASSWORD": owner,
        "GYM_DATABASE_PASSWORD": secrets.token_hex(8),
        "INSURER_DATABASE_PASSWORD": secrets.token_hex(8),
        "TALLYSTICK_CLOCK_FILE": str(tmp_path / "clock"),
    }
    read = interpolated(yaml.safe_load(FILE.read_text()), said)
    with psycopg.connect(server.url, autocommit=True) as connection:
        for statement in read["configs"]["databases"]["content"].splitlines():
            connection.execute(statement)
    ports = {name: databases.free_port() for name in ("gym", "insurer", "witness")}
    addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    addresses["postgres"] = server.url.rpartition("@")[2].partition("/")[0]
    made = Ship(tmp_path, read["services"], addresses)
    try:
        yield made
    finally:
        for name in list(made.running):
            made.stop(name)


def introduce(ship: Ship, gym: Company, insurer: Company) -> None:
    """What two people do once at each company, and the gym with its witness (docs/operating.md)."""
    for one, other in ((gym, insurer), (insurer, gym)):
        descriptor = str(ship.volume(other.service) / "descriptor.jwt")
        ship.run(one.service, "partner", "add", "/data", descriptor, "--fingerprint", other.fingerprint)
    vkeys = [ship.volume("gym") / name for name in ("log.vkey", "log-pq.vkey")]
    ship.run("witness", "witness", "add", "/data", *map(str, vkeys))
    lines = [f"log {path.read_text().strip()}" for path in vkeys]
    lines += [*ship.run("witness", "witness", "key", "/data").splitlines(), "quorum witness.example"]
    (ship.volume("gym") / "witness.policy").write_text("".join(f"{line}\n" for line in lines))
    settings = ship.volume("gym") / "node.toml"
    settings.write_text(settings.read_text().replace('witness_policy = ""', 'witness_policy = "witness.policy"'))
    ship.stop("gym")
    ship.start("gym")
    ship.wait_until_healthy("gym")


@pytest.mark.long
def test_journey_1_over_the_services_of_the_file(ship: Ship) -> None:
    clock = Clock(ship.folder / "clock", at("2027-02-27 09:00"))
    ship.up()
    with ExitStack() as stack:
        gym, insurer = Company(ship, "gym"), Company(ship, "insurer")
        for company in (gym, insurer):
            stack.callback(company.close)
        introduce(ship, gym, insurer)
        town: Any = Town(clock, [gym, insurer])
        companies: tuple[Any, Any] = (insurer, gym)
        agree(town, *companies)
        person: Membership = link(*companies[::-1], at_gym="ana-at-gym", at_insurer="ana-at-ins", town=town)
        consent(person, town)
        clock.at_s = at("2027-03-01 10:00")
        person.confirm_membership("2027-03-01 09:00")
        person.train(town, ANA_MARCH)
        for moment in ("2027-04-16 00:00", "2027-04-17 08:00"):  # it is issued, and has left a day later
            clock.at_s = at(moment)
            town.settle()
        town.settle()
        rewards = insurer.app().rewards.find("ana-at-ins").rewards
        assert [(each.amount, each.state, each.period) for each in rewards] == [(2000, "posted", "2027-03")]
        assert [each.state for each in gym.app().claims.each()] == ["delivered"]
        assert "— witness.example " in httpx.get(f"{gym.url}/log/2027/checkpoint").text
    for service in ("gym", "insurer", "witness"):
        ship.stop(service)
        assert "Traceback" not in (ship.folder / f"{service}.log").read_text()
        assert not list(ship.volume(service).rglob("node.db")), "rows are in PostgreSQL"
    report = audit([DirectorySource(str(company.log)) for company in (gym, insurer)])
    assert report.holds, report.findings


def test_what_is_there_already_is_left_as_it_is(ship: Ship) -> None:
    Clock(ship.folder / "clock", at("2027-02-27 09:00"))
    for service in ("gym-init", "witness-init"):
        ship.start(service)
        assert ship.running.pop(service).wait(WITHIN_S) == 0
        before = {path: path.read_bytes() for path in ship.volume(service).rglob("*") if path.is_file()}
        ship.start(service)
        assert ship.running.pop(service).wait(WITHIN_S) == 0
        assert before == {path: path.read_bytes() for path in ship.volume(service).rglob("*") if path.is_file()}


def test_the_file_holds_no_secret_and_asks_for_those_it_needs() -> None:
    text = FILE.read_text()
    read = yaml.safe_load(text)
    for name in ("POSTGRES_PASSWORD", "GYM_DATABASE_PASSWORD", "INSURER_DATABASE_PASSWORD"):
        assert not re.search(rf"\$\{{{name}\}}|\$\{{{name}:-", text), f"{name} has a default"
        said = {"POSTGRES_PASSWORD": "x", "GYM_DATABASE_PASSWORD": "x", "INSURER_DATABASE_PASSWORD": "x", name: ""}
        with pytest.raises(AssertionError, match=name):
            interpolated(read, said)
