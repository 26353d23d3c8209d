"""A node's settings: what it is called, where it is reached, where it listens, and where its data lies.

Kept in `node.toml` in the data folder, written by `tally-node init`; the environment may name the sandbox clock and
the two databases, so that no password lies in a file.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tallystick.reaching import MayReach, is_public, may_reach
from tallystick_consent.fields import Host, Url
from tallystick_ledger.times import DAY_S
from tallystick_node.clock import Clock, FileClock, SystemClock
from tallystick_node.errors import SettingsInvalid
from tallystick_node.storage.database import POSTGRES, Place

SETTINGS_FILE = "node.toml"
SHARDS_FOLDER = "shards"
CLOCK_VARIABLE = "TALLYSTICK_CLOCK_FILE"
DATABASE_VARIABLE = "TALLYSTICK_DATABASE"
CUSTODY_VARIABLE = "TALLYSTICK_CUSTODY_DATABASE"
DATABASE_FILE = "node.db"
CUSTODY_FILE = "custody/keys.db"


def _without_password(address: str) -> str:
    if address.startswith(POSTGRES):
        parts = urlsplit(address)
        if parts.password is not None or "password" in parse_qs(parts.query):
            raise ValueError("a password does not belong into a file of settings")
    return address


DatabaseName = Annotated[
    str,
    Field(pattern=rf"^([A-Za-z0-9_-][A-Za-z0-9._/-]{{0,199}}|{POSTGRES}\S{{1,500}})$"),
    AfterValidator(_without_password),
]
"""A file below the data folder, or the address of a PostgreSQL database."""


def _network(text: str) -> str:
    ip_network(text)
    return text


Network = Annotated[str, Field(max_length=50), AfterValidator(_network)]
"""Addresses by their first bits, such as `10.20.0.0/16` or `fd00:1::/32`; without a length, a single one."""


CallsAMinute = Annotated[int, Field(ge=0, le=100_000_000)]


class Settings(BaseModel):
    """What `node.toml` holds.

    Attributes:
        host: the node's name among partners, and the first part of its log's origin.
        url: where partners and apps reach it; a proxy may stand there.
        bind: where the process listens, `ADDRESS:PORT`.
        sandbox: test keys, test money, and a clock that may be set.
        log_year: the year of the log shard that this node writes.
        publish_interval_ms: how often a new head is published.
        log_folder: where the published log lies, relative to the data folder.
        keeps_published_entries: whether entries stay in the database once the published files hold them: twice the
            space, and files that are lost can be made again.
        witness_policy: a trust policy file in the data folder, whose witnesses are asked to cosign each head; "" for
            none. A partner that witnesses learns when the log grows, and how long it is.
        follow_interval_s: how often each partner's log is looked at; 0 for never.
        log_store: `s3://BUCKET/PREFIX`, where the published log lies in an object store; "" for the folder.
        log_store_endpoint: that store's address, where it is not the one that the environment names.
        private_networks: in which networks that are not public partners and witnesses may be reached all the same, such
            as `10.20.0.0/16`; absent, and in a live node, in none, and in a sandbox anywhere.
        app_calls_a_minute, partner_calls_a_minute: how often one app key, or one partner, may call this process; 0:
            as often as it likes.
        signer: an external signer that holds private keys: `unix:PATH` of its socket, or `exec:COMMAND` to start it; ""
            for none.
        publication_waits: whether a head that the policy does not accept yet stays unpublished.
        writes_wait_for_word: whether a node that has witnesses or partners writes nothing after a start before one of
            them has said what it has seen of this node's log. Where not, it goes on at once, and asks again.
        database: where the node's rows are; `TALLYSTICK_DATABASE` goes before it.
        custody_database: where the wrapped secrets are, apart from them; `TALLYSTICK_CUSTODY_DATABASE` goes before it.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    host: Host
    url: Url
    bind: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:\[\]_-]+:[0-9]{1,5}$")]
    sandbox: bool
    log_year: Annotated[int, Field(ge=1970, le=9999)]
    publish_interval_ms: Annotated[int, Field(ge=10, le=60_000)] = 200
    log_folder: Annotated[str, Field(min_length=1, max_length=200)] = "log"
    keeps_published_entries: bool = True
    witness_policy: Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]{1,100})?$")] = ""
    publication_waits: bool = True
    follow_interval_s: Annotated[int, Field(ge=0, le=DAY_S)] = 300
    writes_wait_for_word: bool = False
    database: DatabaseName = DATABASE_FILE
    custody_database: DatabaseName = CUSTODY_FILE
    log_store: Annotated[str, Field(pattern=r"^(s3://[a-z0-9][a-z0-9.-]{1,62}(/[A-Za-z0-9._-]{1,100}){0,8})?$")] = ""
    log_store_endpoint: Annotated[str, Field(pattern=r"^(https?://[^\s?#]{1,300})?$")] = ""
    private_networks: Annotated[list[Network], Field(max_length=32)] | None = None
    app_calls_a_minute: CallsAMinute = 60_000
    partner_calls_a_minute: CallsAMinute = 60_000
    signer: Annotated[str, Field(pattern=r"^((unix|exec):[^\x00-\x1f]{1,500})?$")] = ""

    @property
    def log_name(self) -> str:
        """The name of the log that this node writes: what follows `HOST/log/` in its origin."""
        return str(self.log_year)

    @property
    def log_origin(self) -> str:
        """The origin of the log that this node writes."""
        return f"{self.host}/log/{self.log_name}"

    @property
    def may_reach(self) -> MayReach | None:
        """Which addresses this node may connect to when it calls others; None: all."""
        if self.private_networks is None:
            return None if self.sandbox else is_public
        return may_reach(self.private_networks)

    def text(self) -> str:
        """Return the settings as TOML."""
        lines = [f"{name} = {_toml(value)}" for name, value in self.model_dump(mode="json", exclude_none=True).items()]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Databases:
    """Where a node's two databases are; an address may hold a password, so neither is shown."""

    node: Place = field(repr=False)
    custody: Place = field(repr=False)

    @property
    def are_shared(self) -> bool:
        """Whether several processes may run the node at once: neither database is a file of one process."""
        return isinstance(self.node, str) and isinstance(self.custody, str)


def databases_of(settings: Settings, folder: Path, environment: Mapping[str, str]) -> Databases:
    """Return where the databases of the node in `folder` are: what the environment says, else its settings."""

    def place(variable: str, setting: str) -> Place:
        named = environment.get(variable) or setting
        return named if named.startswith(POSTGRES) else folder / named

    return Databases(
        node=place(DATABASE_VARIABLE, settings.database),
        custody=place(CUSTODY_VARIABLE, settings.custody_database),
    )


def load_settings(folder: Path) -> Settings:
    """Return the settings of the node whose data lies in `folder`.

    Raises:
        SettingsInvalid: none there, or not of their form.
    """
    try:
        return parse_settings((folder / SETTINGS_FILE).read_bytes())
    except OSError as error:
        raise SettingsInvalid(
            "There is no node in this folder.", remedy=f"Run: tally-node init {folder} --host NAME --url URL"
        ) from error


def parse_settings(raw: bytes) -> Settings:
    """Return the settings in the bytes of a `node.toml`.

    Raises:
        SettingsInvalid: not of their form.
    """
    try:
        return Settings.model_validate(tomllib.loads(raw.decode()))
    except (tomllib.TOMLDecodeError, ValidationError, UnicodeDecodeError) as error:
        raise SettingsInvalid(
            f"{SETTINGS_FILE} is not of its form.", remedy="Compare it with one that tally-node init writes."
        ) from error


def clock_for(environment: dict[str, str], *, sandbox: bool) -> Clock:
    """Return the clock a node runs by: the sandbox's file where one is named, else the system's.

    Raises:
        SettingsInvalid: a live node is told to read its time from a file.
    """
    path = environment.get(CLOCK_VARIABLE)
    if not path:
        return SystemClock()
    if not sandbox:
        raise SettingsInvalid(
            f"{CLOCK_VARIABLE} is set for a live node.", remedy="Unset it; only sandbox nodes may have a set clock."
        )
    return FileClock(Path(path))


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else json.dumps(value)  # a basic string of TOML is one of JSON


def shard_settings(settings: Settings, name: str) -> Settings:
    """Return the settings by which a log of a node is stored: those of its first one, or a place below."""
    if name == settings.log_name:
        return settings
    place = f"{SHARDS_FOLDER}/{name}"
    stored = f"{settings.log_store}/{place}" if settings.log_store else ""
    return settings.model_copy(update={"log_folder": f"{place}/log", "log_store": stored})
