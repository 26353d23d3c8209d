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
from sqlalchemy import Engine, delete, func, insert, select, update

from tallystick.descriptor import Descriptor, Role, fingerprint, open_descriptor, plain_fingerprint, require_not_older
from tallystick.wire import SCOPES
from tallystick_ledger.encoding import new_id, to_base64url
from tallystick_ledger.times import DAY_S
from tallystick_ledger.tlog.keys import COSIGNATURE_ED25519, COSIGNATURE_ML_DSA_44, SignatureKind, VerifierKey
from tallystick_node.clock import CLOCK_BACK_MAX_S, Clock, SystemClock, steady_s
from tallystick_node.config import (
    CLOCK_VARIABLE,
    CUSTODY_FILE,
    DATABASE_FILE,
    SETTINGS_FILE,
    Settings,
    databases_of,
    load_settings,
)
from tallystick_node.errors import ClockBehind, PartnerUnknown, SettingsInvalid
from tallystick_node.flows.logs.descriptors import clashes
from tallystick_node.flows.subjects.burying import bury_again
from tallystick_node.keys.changes import KeyFolder
from tallystick_node.keys.external import SignerClient
from tallystick_node.keys.files import AskPassphrase, SecretFiles
from tallystick_node.keys.ring import NodeKeys, Ring, make_keys, read_ring
from tallystick_node.keys.signing import VKEY_FILES
from tallystick_node.migrations import Schema, migrate, open_database
from tallystick_node.node import DESCRIPTOR_FILE, KEYS_FOLDER, Node
from tallystick_node.storage.database import close, storage_errors, writing
from tallystick_node.storage.folder_lock import FolderLock
from tallystick_node.storage.staging import sweep_staging
from tallystick_node.storage.tables import APP_KEYS, HEADS, PARTNERS
from tallystick_node.witness.known import witness_name

SECRET_SIZE_BYTES = 32

_APP_NAME = re.compile(r"[A-Za-z0-9._-]{1,60}")
"""What the evidence of a consent can carry."""


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
    passphrase: AskPassphrase | None = None,
    signer: str = "",
    at_signer: Sequence[Role] = (),
) -> NodeKeys:
    """Make a node's settings, keys, descriptor and verifier keys in an empty folder; return its keys.

    Args:
        log_year: the year of its log shard; the clock's year where it is absent.
        database: where its rows are to be: a file below the folder, or a PostgreSQL's address without a password.
        custody_database: where its wrapped secrets are to be, in the same form.
        passphrase: tells the passphrase to seal the keys under; None leaves them in clear.
        signer: where an external signer is; "" for none.
        at_signer: the roles whose keys it holds.

    Raises:
        SettingsInvalid: there is a node already, or a setting is not of its form.
        KeysLocked: what `passphrase` tells is none.
        SignerUnavailable: the signer does not tell its public keys.
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
            signer=signer,
        )
    except ValueError as error:
        raise SettingsInvalid(
            "A setting is not of its form.",
            remedy="HOST is a lower-case name, URL begins with http(s)://, BIND is ADDRESS:PORT; no password in any.",
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    place = _key_folder(folder, settings, clock, random_bytes, passphrase)
    try:
        keys = make_keys(
            place.folder,
            random_bytes=random_bytes,
            now_s=now_s,
            files=place.files,
            sealed=passphrase is not None,
            signer=place.signer,
            at_signer=at_signer,
        )
    finally:
        place.close()
    (folder / DESCRIPTOR_FILE).write_text(keys.descriptor(settings) + "\n", encoding="ascii")
    described = open_descriptor(keys.descriptor(settings), expected_fingerprint=keys.fingerprint)
    for key in described.log_keys(settings.log_origin):
        (folder / VKEY_FILES[SignatureKind(key.kind)]).write_text(key.text + "\n", encoding="utf-8")
    (folder / SETTINGS_FILE).write_text(settings.text(), encoding="utf-8")
    return keys


def open_node(
    folder: Path,
    *,
    clock: Clock,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    transport: httpx.AsyncBaseTransport | None = None,
    passphrase: AskPassphrase | None = None,
) -> Node:
    """Return the node whose data lies in `folder`, its writer running.

    Raises:
        SettingsInvalid: no node there, its keys cannot be read, or they are older than its log.
        KeysLocked: its keys are sealed, and `passphrase` does not tell theirs.
        FolderInUse: another process runs it, and they do not share their databases.
        StorageUnavailable: its database cannot be used, or who was erased came back with it and cannot be erased again.
    """
    settings = load_settings(folder)
    place = _key_folder(folder, settings, clock, random_bytes, passphrase)
    place.load()  # what is wrong with the keys is said before anything else is opened
    databases = databases_of(settings, folder, os.environ)
    lock = FolderLock(folder, shared=databases.are_shared)
    try:
        sweep_staging(databases.node)
        node = Node(
            folder,
            lock=lock,
            settings=settings,
            key_folder=place,
            clock=clock,
            random_bytes=random_bytes,
            transport=transport,
        )
    except BaseException:
        lock.release()
        raise
    try:
        bury_again(node)
    except BaseException:
        node.close()
        raise
    return node


def migrate_node(folder: Path) -> dict[Schema, tuple[str, str]]:
    """Bring both databases of a node to the form that this version works with; return revisions before and after.

    Raises:
        SettingsInvalid: no node there, a database of a newer version, or one for both.
        StorageUnavailable: a database cannot be used now; it was not changed.
    """
    databases = databases_of(load_settings(folder), folder, os.environ)
    places = {Schema.NODE: databases.node, Schema.CUSTODY: databases.custody}
    if isinstance(databases.custody, Path):
        databases.custody.parent.mkdir(mode=0o700, exist_ok=True)
    return {schema: migrate(place, schema) for schema, place in places.items()}


@contextmanager
def open_key_folder(
    folder: Path,
    *,
    clock: Clock,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    passphrase: AskPassphrase | None = None,
) -> Generator[KeyFolder]:
    """Open the keys of the node whose data lies in `folder`, to change them; the node may be running.

    Raises:
        SettingsInvalid: no node there.
    """
    place = _key_folder(folder, load_settings(folder), clock, random_bytes, passphrase)
    try:
        yield place
    finally:
        place.close()


def _key_folder(
    folder: Path,
    settings: Settings,
    clock: Clock,
    random_bytes: Callable[[int], bytes],
    passphrase: AskPassphrase | None,
) -> KeyFolder:
    keys = folder / KEYS_FOLDER
    signer = SignerClient(settings.signer) if settings.signer else None
    files = SecretFiles(keys, random_bytes=random_bytes, passphrase=passphrase)
    return KeyFolder(keys, files, random_bytes, clock, signer)


def read_keys(folder: Path) -> Ring:
    """Return the list of a node's keys; no secret is read, but of a node whose keys were never changed by this version.

    Raises:
        SettingsInvalid: there is no node, or its list cannot be read.
    """
    load_settings(folder)
    return read_ring(folder / KEYS_FOLDER)


def read_fingerprint(folder: Path) -> str:
    """Return what two people compare before they trust the node in `folder`.

    Raises:
        SettingsInvalid: there is none, or its list of keys cannot be read.
    """
    return fingerprint(read_keys(folder).current("identity").raw)


def add_partner(folder: Path, descriptor: str, *, expected_fingerprint: str, clock: Clock) -> Descriptor:
    """Trust a partner from now on, by its descriptor and the fingerprint that two people compared.

    A partner that is known is replaced: under another fingerprint by what the two people say, under the same one only
    by a descriptor that is not older.

    Raises:
        SignatureRejected: the descriptor is signed by another identity.
        DescriptorOlder: a newer one of that identity is known.
        BadInput, SettingsInvalid: not a descriptor, or this node's own.
    """
    described = open_descriptor(descriptor.strip(), expected_fingerprint=expected_fingerprint)
    if described.host == load_settings(folder).host:
        raise SettingsInvalid("That is this node's own descriptor.", remedy="Add the partner's.")
    with _database(folder) as engine, storage_errors(), writing(engine).begin() as connection:
        if clashes(connection.execute(select(PARTNERS)).all(), described):
            raise SettingsInvalid(
                "Another partner has a key of the same id.", remedy="Ask the new partner to renew its keys."
            )
        compared = plain_fingerprint(expected_fingerprint)
        known = connection.execute(select(PARTNERS).where(PARTNERS.c.host == described.host)).first()
        if known is not None and known.fingerprint == compared:
            require_not_older(described, open_descriptor(known.descriptor, expected_fingerprint=compared))
        connection.execute(delete(PARTNERS).where(PARTNERS.c.host == described.host))
        connection.execute(
            insert(PARTNERS).values(
                host=described.host,
                fingerprint=compared,
                descriptor=descriptor.strip(),
                added_at_s=clock.now_s(),
            )
        )
    return described


def remove_partner(folder: Path, host: str) -> None:
    """Trust a partner no more: nothing is sent to it or taken from it; what was agreed stays in the ledger.

    Raises:
        PartnerUnknown: it is no partner.
    """
    with _database(folder) as engine, storage_errors(), writing(engine).begin() as connection:
        if connection.execute(delete(PARTNERS).where(PARTNERS.c.host == host)).rowcount == 0:
            raise PartnerUnknown("No partner of that name was added to this node.", remedy="Look: partner list")


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
                expires_at_s=None if life_days is None else now_s + life_days * DAY_S,
            )
        )
    return key


def witness_policy_lines(folder: Path) -> list[str]:
    """Return the lines of a trust policy that name this node as a witness, one for each of its witness keys.

    Raises:
        SettingsInvalid: no node there, or its list of keys cannot be read.
    """
    settings, ring = load_settings(folder), read_keys(folder)
    name, kinds = witness_name(settings.host), {"witness": COSIGNATURE_ED25519, "witness-pq": COSIGNATURE_ML_DSA_44}
    return [
        f"witness {settings.host}{key.role.removeprefix('witness')}"
        f" {VerifierKey(name, kinds[key.role], key.raw).text} {settings.url}/witness"
        for key in ring.keys
        if key.role in kinds and key.is_current
    ]


@dataclass(frozen=True, slots=True)
class AppKeyLine:
    """What may be shown of an app's key.

    Attributes:
        expires_at_s: seconds since 1970-01-01 UTC, None where it does not expire.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    expires_at_s: int | None


def list_app_keys(folder: Path) -> list[AppKeyLine]:
    """Return the keys of this company's apps, the oldest first."""
    with _database(folder) as engine, storage_errors(), engine.connect() as connection:
        rows = connection.execute(select(APP_KEYS).order_by(APP_KEYS.c.created_at_s, APP_KEYS.c.id)).all()
    return [AppKeyLine(row.id, row.name, tuple(row.scopes.split()), row.expires_at_s) for row in rows]


def remove_app_key(folder: Path, key_id: str) -> None:
    """Remove an app's key; the next request under it is refused.

    Raises:
        SettingsInvalid: there is no key of that id.
    """
    with _database(folder) as engine, storage_errors(), writing(engine).begin() as connection:
        if connection.execute(delete(APP_KEYS).where(APP_KEYS.c.id == key_id)).rowcount == 0:
            raise SettingsInvalid("There is no app key of that id.", remedy="Look: tally-node keys list")


def clock_to_accept(folder: Path, *, clock: Clock) -> int:
    """Return how far the log's last entry is ahead of the clock, where an operator may accept that; 0 where the node
    writes by this clock anyway. In seconds.

    Raises:
        ClockBehind: what would be written holds for nobody, whatever the operator says: a sandbox's clock is not named
            in this terminal, or the clock is before the log's year, or before a key that would sign.
    """
    now_s = clock.now_s()
    with _database(folder) as engine, storage_errors(), engine.connect() as connection:
        last = select(HEADS.c.log, HEADS.c.last_at_s).where(HEADS.c.successor.is_(None))
        row = connection.execute(last.order_by(HEADS.c.last_at_s.desc()).limit(1)).first()
    if row is None or row.last_at_s - now_s <= CLOCK_BACK_MAX_S:
        return 0
    if load_settings(folder).sandbox and isinstance(clock, SystemClock):
        raise ClockBehind(
            "A sandbox's log is not set back by this machine's clock, since it has most likely one of its own.",
            remedy=f"Name the sandbox's clock: export {CLOCK_VARIABLE}=FILE",
        )
    begins_s = int(datetime(int(row.log[:4]), 1, 1, tzinfo=UTC).timestamp())
    keys_begin_s = max(key.from_s for key in read_keys(folder).keys if key.is_current)
    for since_s, what in ((begins_s, "the year of its log"), (keys_begin_s, "a key that would sign it")):
        if now_s < since_s:
            raise ClockBehind(
                f"By this clock, what the node writes next is of a time before {what}; no audit would let that hold.",
                remedy=f"Set the clock right. If it is right: wait until {datetime.fromtimestamp(since_s, UTC)}, or put"
                " a backup back that was made before the clock was wrong.",
            )
    return int(row.last_at_s - now_s)


def accept_clock(folder: Path, *, clock: Clock) -> int:
    """Let the log go on by a clock that is behind its last entry, since that one was wrong; return by how many seconds.

    Times run back in the log there, once, for everybody to see; that is what the operator says yes to.

    Raises:
        ClockBehind: as `clock_to_accept`; nothing was changed.
    """
    behind_s = clock_to_accept(folder, clock=clock)
    if behind_s:
        now_s = clock.now_s()
        with _database(folder) as engine, storage_errors(), writing(engine).begin() as connection:
            ahead = (HEADS.c.last_at_s > now_s, HEADS.c.successor.is_(None))
            connection.execute(update(HEADS).where(*ahead).values(last_at_s=now_s))
    return behind_s


def require_clock(folder: Path, clock: Clock) -> None:
    """Return quietly unless the clock is behind the node's log, by which the node itself would write nothing.

    Whatever writes a time beside a running node asks this first: a key that ends, or a backup that dies, by another
    clock than the node's does so at once, or never.

    Raises:
        ClockBehind: it is, by more than clocks may differ.
    """
    place = databases_of(load_settings(folder), folder, os.environ).node
    if isinstance(place, Path) and not place.exists():
        return  # no log yet, and none is made by looking
    with _database(folder) as engine, storage_errors(), engine.connect() as connection:
        last_s = connection.scalar(select(func.max(HEADS.c.last_at_s)).where(HEADS.c.successor.is_(None)))
    steady_s(clock.now_s(), last_s or 0)


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
