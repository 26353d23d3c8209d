"""Make a node, open it, and the few things its operator does to it: partners and app keys.

Each is a function of a data folder; the command line only names them.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
from sqlalchemy import Engine, delete, insert, select

from tallystick.descriptor import Descriptor, open_descriptor
from tallystick.wire import SCOPES
from tallystick_ledger.encoding import new_id, to_base64url
from tallystick_ledger.tlog.signers import CosignatureSigner
from tallystick_node.clock import Clock
from tallystick_node.config import CUSTODY_FILE, DATABASE_FILE, SETTINGS_FILE, Settings, databases_of, load_settings
from tallystick_node.database import close, storage_errors, writing
from tallystick_node.errors import SettingsInvalid
from tallystick_node.folder_lock import FolderLock
from tallystick_node.keys import NodeKeys, load_keys, make_keys
from tallystick_node.migrations import Schema, migrate, open_database
from tallystick_node.node import KEYS_FOLDER, Node
from tallystick_node.tables import APP_KEYS, PARTNERS
from tallystick_node.witness.known import witness_name

DESCRIPTOR_FILE = "descriptor.jwt"
SECRET_SIZE_BYTES = 32

_APP_NAME = re.compile(r"[A-Za-z0-9._-]{1,60}")
"""What the evidence of a consent can carry."""

VKEY_FILES = {"log": "log.vkey", "log-pq": "log-pq.vkey"}


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new app key: its id, and the secret that is shown this once."""

    id: str
    secret: str = field(repr=False)


def create_node(
    folder: Path,
    *,
    host: str,
    url: str,
    bind: str,
    sandbox: bool,
    clock: Clock,
    log_year: int | None = None,
    database: str = DATABASE_FILE,
    custody_database: str = CUSTODY_FILE,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> NodeKeys:
    """Make a node's settings, keys, descriptor and verifier keys in an empty folder; return its keys.

    Args:
        log_year: the year of its log shard; the clock's year where it is absent.
        database: where its rows are to be: a file below the folder, or a PostgreSQL's address without a password.
        custody_database: where its wrapped secrets are to be, in the same form.

    Raises:
        SettingsInvalid: there is a node already, or a setting is not of its form.
    """
    if (folder / SETTINGS_FILE).exists():
        raise SettingsInvalid("There is a node in this folder.", remedy="Choose another folder.")
    now_s = clock.now_s()
    year = log_year or datetime.fromtimestamp(now_s, UTC).year
    try:
        settings = Settings(
            host=host,
            url=url.rstrip("/"),
            bind=bind,
            sandbox=sandbox,
            log_year=year,
            database=database,
            custody_database=custody_database,
        )
    except ValueError as error:
        raise SettingsInvalid(
            "A setting is not of its form.",
            remedy="HOST is a lower-case name, URL begins with http(s)://, BIND is ADDRESS:PORT; no password in any.",
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    keys = make_keys(folder / KEYS_FOLDER, random_bytes=random_bytes, now_s=now_s)
    (folder / DESCRIPTOR_FILE).write_text(keys.descriptor(settings) + "\n", encoding="ascii")
    described = open_descriptor(keys.descriptor(settings), expected_fingerprint=keys.fingerprint)
    for key in described.log_keys(settings.log_origin):
        name = VKEY_FILES["log" if key.kind == 1 else "log-pq"]
        (folder / name).write_text(key.text + "\n", encoding="utf-8")
    (folder / SETTINGS_FILE).write_text(settings.text(), encoding="utf-8")
    return keys


def open_node(
    folder: Path,
    *,
    clock: Clock,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Node:
    """Return the node whose data lies in `folder`, its writer running.

    Raises:
        SettingsInvalid: no node there, or its keys cannot be read.
        FolderInUse: another process runs it, and they do not share their databases.
        StorageUnavailable: its database cannot be used.
    """
    settings, keys = load_settings(folder), load_keys(folder / KEYS_FOLDER)
    lock = FolderLock(folder, shared=databases_of(settings, folder, os.environ).are_shared)
    try:
        return Node(
            folder,
            lock=lock,
            settings=settings,
            keys=keys,
            clock=clock,
            random_bytes=random_bytes,
            transport=transport,
        )
    except BaseException:
        lock.release()
        raise


def migrate_node(folder: Path) -> dict[Schema, tuple[str, str]]:
    """Bring both databases of a node to the form that this version works with; return revisions before and after.

    Raises:
        SettingsInvalid: no node there, a database of a newer version, or one for both.
        StorageUnavailable: a database cannot be used now; it was not changed.
    """
    databases = databases_of(load_settings(folder), folder, os.environ)
    places = {Schema.NODE: databases.node, Schema.CUSTODY: databases.custody}
    return {schema: migrate(place, schema) for schema, place in places.items()}


def add_partner(folder: Path, descriptor: str, *, expected_fingerprint: str, clock: Clock) -> Descriptor:
    """Trust a partner from now on, by its descriptor and the fingerprint that two people compared.

    Raises:
        SignatureRejected: the descriptor is signed by another identity.
        BadInput, SettingsInvalid: not a descriptor, or this node's own.
    """
    described = open_descriptor(descriptor.strip(), expected_fingerprint=expected_fingerprint)
    if described.host == load_settings(folder).host:
        raise SettingsInvalid("That is this node's own descriptor.", remedy="Add the partner's.")
    with _database(folder) as engine, storage_errors(), writing(engine).begin() as connection:
        others = connection.execute(select(PARTNERS).where(PARTNERS.c.host != described.host)).all()
        for other in others:
            # A key id is short, so one could be made to equal another partner's: then requests would be mistaken.
            known = open_descriptor(other.descriptor, expected_fingerprint=other.fingerprint)
            if {each.id for each in known.keys} & {each.id for each in described.keys}:
                raise SettingsInvalid(
                    "Another partner has a key of the same id.", remedy="Ask the new partner to renew its keys."
                )
        connection.execute(delete(PARTNERS).where(PARTNERS.c.host == described.host))
        connection.execute(
            insert(PARTNERS).values(
                host=described.host,
                fingerprint=expected_fingerprint.replace(":", "").replace(" ", "").lower(),
                descriptor=descriptor.strip(),
                added_at_s=clock.now_s(),
            )
        )
    return described


def add_app_key(
    folder: Path, *, name: str, scopes: Sequence[str], clock: Clock, life_days: int | None = None
) -> NewKey:
    """Make a key for one of this company's apps; only its digest is kept.

    Raises:
        SettingsInvalid: a scope is unknown, or the name is not one.
    """
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise SettingsInvalid(
            f"Unknown scopes: {', '.join(unknown) or 'none given'}.", remedy=f"Choose from {', '.join(SCOPES)}."
        )
    if not _APP_NAME.fullmatch(name):
        raise SettingsInvalid("An app's name is not one.", remedy="Use letters, digits, '.', '_' and '-'.")
    kind = "test" if load_settings(folder).sandbox else "live"
    key = NewKey(
        new_id("key", secrets.token_bytes(16)), f"sk_{kind}_{to_base64url(secrets.token_bytes(SECRET_SIZE_BYTES))}"
    )
    now_s = clock.now_s()
    with _database(folder) as engine, storage_errors(), writing(engine).begin() as connection:
        connection.execute(
            insert(APP_KEYS).values(
                id=key.id,
                digest=hashlib.sha256(key.secret.encode()).hexdigest(),
                name=name,
                scopes=" ".join(sorted(set(scopes))),
                created_at_s=now_s,
                expires_at_s=None if life_days is None else now_s + life_days * 86_400,
            )
        )
    return key


def witness_policy_lines(folder: Path) -> list[str]:
    """Return the lines of a trust policy that name this node as a witness, one for each of its witness keys.

    Raises:
        SettingsInvalid: no node there, or its keys cannot be read.
    """
    settings, keys = load_settings(folder), load_keys(folder / KEYS_FOLDER)
    name = witness_name(settings.host)
    held = {"": keys.ed25519("witness"), "-pq": keys.witness_pq()}
    return [
        f"witness {settings.host}{kind} {CosignatureSigner(name, key).verifier_key.text} {settings.url}/witness"
        for kind, key in held.items()
        if key is not None
    ]


def list_partners(folder: Path) -> list[tuple[str, str]]:
    """Return host and fingerprint of every partner."""
    with _database(folder) as engine, storage_errors(), engine.connect() as connection:
        rows = connection.execute(select(PARTNERS.c.host, PARTNERS.c.fingerprint).order_by(PARTNERS.c.host)).all()
    return [(row.host, row.fingerprint) for row in rows]


@contextmanager
def _database(folder: Path) -> Generator[Engine]:
    """Open a node's database for one piece of work, beside a node that may be running."""
    engine = open_database(databases_of(load_settings(folder), folder, os.environ).node, Schema.NODE)
    try:
        yield engine
    finally:
        close(engine)
