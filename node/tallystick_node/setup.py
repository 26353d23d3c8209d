"""Make a node and open it; and what of its keys stands in its folder for whoever does not run it.

Each is a function of a data folder; the command line only names them.
"""

import os
import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx

from tallystick.descriptor import Role, fingerprint, open_descriptor
from tallystick_ledger.tlog.keys import COSIGNATURE_ED25519, COSIGNATURE_ML_DSA_44, SignatureKind, VerifierKey
from tallystick_node.clock import Clock
from tallystick_node.config import CUSTODY_FILE, DATABASE_FILE, SETTINGS_FILE, Settings, databases_of, load_settings
from tallystick_node.errors import SettingsInvalid
from tallystick_node.flows.subjects.burying import bury_again
from tallystick_node.keys.changes import KeyFolder
from tallystick_node.keys.external import SignerClient
from tallystick_node.keys.files import AskPassphrase, SecretFiles
from tallystick_node.keys.ring import NodeKeys, Ring, make_keys, read_ring
from tallystick_node.keys.signing import VKEY_FILES
from tallystick_node.migrations import Schema, migrate
from tallystick_node.node import DESCRIPTOR_FILE, KEYS_FOLDER, Node
from tallystick_node.storage.folder_lock import FolderLock
from tallystick_node.storage.staging import sweep_staging
from tallystick_node.witness.known import witness_name


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
