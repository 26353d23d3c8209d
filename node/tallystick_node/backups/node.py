"""Back up the data of a node that may be running, and put it back where there is none.

A backup holds every row, the settings and the trust policy. It holds no key and nothing of custody, which are kept
apart: without custody's key of that day it opens nothing, and that key dies after seven days. Put back, it is opened
as a node once, which buries again whoever was erased since; if the power fails before that, the next start does it. A
custody that is older than the rows is refused, since it would bring somebody back.

Source: DESIGN P1 and P9, docs/erasure.md, docs/operating.md.
"""

import os
import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection, select

from tallystick_ledger.encoding import canonical_json
from tallystick_ledger.times import DAY_S
from tallystick_node.backups.files import lines_in, read_label, write_backup
from tallystick_node.backups.log import Entries, WholeLogs, published_entries
from tallystick_node.backups.rows import malformed, put_rows, revision_told, rows_of
from tallystick_node.clock import Clock, steady_s
from tallystick_node.config import (
    SETTINGS_FILE,
    Databases,
    Settings,
    clock_for,
    databases_of,
    load_settings,
    parse_settings,
    shard_settings,
)
from tallystick_node.errors import BackupRefused, SettingsInvalid
from tallystick_node.keys.custody import BACKING_UP
from tallystick_node.keys.custody_tables import TOMBSTONES
from tallystick_node.keys.day_keys import DayKeys, dies_at_s
from tallystick_node.keys.files import AskPassphrase, replace_file
from tallystick_node.log.store_s3 import open_log_store
from tallystick_node.migrations import DatabaseNotEmpty, Schema, latest, rebuild, revision_of
from tallystick_node.node import CUSTODY_FOLDER
from tallystick_node.setup import open_key_folder, open_node
from tallystick_node.storage.database import Place, close, connect, storage_errors
from tallystick_node.storage.durable import flush
from tallystick_node.storage.folder_lock import FolderLock
from tallystick_node.storage.staging import beside, staging, sweep_staging
from tallystick_node.storage.tables import BURIED, HEADS


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What was made.

    Attributes:
        size_bytes: of the file.
        opens_until_s: when its key is destroyed, seconds since 1970-01-01 UTC, or within the day after.
        log_is_apart: whether entries that lie in the published files alone were left out.
    """

    size_bytes: int
    opens_until_s: int
    log_is_apart: bool


@dataclass(frozen=True, slots=True)
class PutBack:
    """What was put back.

    Attributes:
        host: the node's name.
        made_at_s: when the backup was made, seconds since 1970-01-01 UTC.
        erased_since_count: how many subjects and links had been erased since, and are gone again.
    """

    host: str
    made_at_s: int
    erased_since_count: int


class _Beginning(BaseModel):
    """The first line inside: what a node needs besides its rows.

    Attributes:
        whole_log: whether every entry of every log is among the rows.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    v: Literal[1] = 1
    made_at: int
    settings: str
    policy: Annotated[str, Field(max_length=1024 * 1024)] = ""
    whole_log: bool = False


def back_up(
    folder: Path,
    path: Path,
    *,
    clock: Clock,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    with_log: bool = True,
) -> BackedUp:
    """Seal the data of the node in `folder`, which may be running, into a new file.

    Args:
        folder: the node's.
        path: the new file.
        clock: the node's.
        random_bytes: the system's CSPRNG.
        with_log: whether entries go along that lie in the published files alone, so that no copy of these is needed.

    Raises:
        SettingsInvalid: no node there, or it has not been started yet.
        BackupRefused: the file is there already, or cannot be written; or entries are missing, or not as they were
            committed.
        StorageUnavailable: the database cannot be read.
    """
    settings = load_settings(folder)
    databases = databases_of(settings, folder, os.environ)
    today = clock.now_s() // DAY_S
    keys = DayKeys(folder / CUSTODY_FOLDER, BACKING_UP, random_bytes=random_bytes)
    keys.destroy_dead(today)
    if isinstance(databases.node, Path) and not databases.node.exists():
        raise SettingsInvalid("The node has no rows yet.", remedy=f"Start it first: tally-node serve {folder}")
    engine = connect(databases.node, patient=True)
    try:
        policy = folder / settings.witness_policy if settings.witness_policy else None
        beginning = _Beginning(
            made_at=clock.now_s(),
            settings=(folder / SETTINGS_FILE).read_text(encoding="utf-8"),
            policy="" if policy is None else policy.read_text(encoding="utf-8"),
            whole_log=with_log or settings.keeps_published_entries,
        )
        logs = WholeLogs()

        def lines() -> Iterator[bytes]:
            yield canonical_json(beginning.model_dump()) + b"\n"
            if not beginning.whole_log:
                yield from rows_of(engine)
                return
            yield from rows_of(engine, dropped=partial(_published, settings, folder), look=logs.look)
            logs.require()

        size = write_backup(
            path, lines(), host=settings.host, keys=keys, today=today, random_bytes=random_bytes
        )  # fmt: skip
    finally:
        close(engine)
    return BackedUp(size, dies_at_s(today), not beginning.whole_log)


def _published(settings: Settings, folder: Path, log: str, end: int) -> Iterator[Entries]:
    """Yield the first entries of a log of the node from its published files."""
    if end == 0:
        return
    store = open_log_store(shard_settings(settings, log), folder)
    try:
        yield from published_entries(store, end)
    except OSError as error:
        raise BackupRefused(
            "backup_log_damaged", "The log's published files cannot be read.", remedy="Check the disk or the store."
        ) from error
    finally:
        store.close()


def put_back(
    folder: Path,
    path: Path,
    *,
    clock: Clock,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    passphrase: AskPassphrase | None = None,
) -> PutBack:
    """Put a backup back into a folder that holds the node's keys and custody, and no rows.

    Where the folder has no `node.toml`, the backup's is taken. The node asks its witnesses and partners before its
    first head after this as after any start.

    Raises:
        BackupRefused: the backup cannot be opened, or is another node's; or there are rows already; or custody is
            missing, or older than the backup.
        SettingsInvalid, KeysLocked: the keys are not there, or do not open.
        ClockBehind: the clock is behind the time at which the backup was made.
        FolderInUse: the node runs.
        StorageUnavailable: a database cannot be used.
    """
    today = clock.now_s() // DAY_S
    keys = DayKeys(folder / CUSTODY_FOLDER, BACKING_UP, random_bytes=random_bytes)
    try:
        file = path.open("rb")
    except OSError as error:
        raise BackupRefused(
            "backup_unreadable", "The backup cannot be read.", remedy="Check its path and permissions."
        ) from error
    with file:
        label = read_label(file)
        here = load_settings(folder) if (folder / SETTINGS_FILE).exists() else None
        if here is not None and here.host != label.host:
            raise BackupRefused(
                "backup_of_another", "The backup is another node's.", remedy="Put it back into that one's folder."
            )
        if here is not None:
            _require_its_clock(here)
            keys.destroy_dead(today)
        lines = lines_in(file, label, keys=keys, today=today)
        beginning = _beginning(lines)
        settings = here or parse_settings(beginning.settings.encode())
        _require_its_clock(settings)
        steady_s(clock.now_s(), beginning.made_at)
        with _held(folder):
            keys.destroy_dead(today)  # not before it is known whose time it is: a key that is gone opens nothing again
            _take_settings(folder, beginning, settings)
            with open_key_folder(folder, clock=clock, passphrase=passphrase) as place:
                place.load()
            databases = databases_of(settings, folder, os.environ)
            erased_since = _build(databases, lines, whole_log=beginning.whole_log)
    open_node(folder, clock=clock, random_bytes=random_bytes, passphrase=passphrase).close()  # buries them again
    return PutBack(settings.host, beginning.made_at, erased_since)


def _beginning(lines: Iterator[bytes]) -> _Beginning:
    try:
        return _Beginning.model_validate_json(next(lines, b""))
    except ValidationError:
        raise malformed() from None


def _require_its_clock(settings: Settings) -> None:
    """Refuse a live node's time that comes from a file, here as anywhere.

    Raises:
        SettingsInvalid: likewise.
    """
    clock_for(dict(os.environ), sandbox=settings.sandbox)


@contextmanager
def _held(folder: Path) -> Generator[None]:
    lock = FolderLock(folder)
    try:
        yield
    finally:
        lock.release()


def _take_settings(folder: Path, beginning: _Beginning, settings: Settings) -> None:
    """Leave the backup's settings and policy where the folder has none; what is there goes before."""
    if not (folder / SETTINGS_FILE).exists():
        replace_file(folder / SETTINGS_FILE, beginning.settings)
    policy = folder / settings.witness_policy
    if settings.witness_policy and beginning.policy and not policy.exists():
        replace_file(policy, beginning.policy)


def _build(databases: Databases, lines: Iterator[bytes], *, whole_log: bool) -> int:
    """Make the node's database of what a backup holds, whole or not at all; return how many were erased since.

    Args:
        databases: of the node.
        lines: of its rows.
        whole_log: whether every entry is among them; they are then held to the heads.
    """
    tombstones = _tombstones(databases)
    erased_since = 0

    def load(connection: Connection) -> None:
        nonlocal erased_since
        logs = WholeLogs()

        def look(table: str, row: dict[str, Any]) -> None:
            logs.look(table, row)
            if table == HEADS.name and "published_size" in row:
                # What was published may be gone: until it is there again, no entry is dropped for lying in it.
                row["published_size"] = 0

        put_rows(connection, lines, look=look if whole_log else None)
        if whole_log:
            logs.require()
        obeyed = set(connection.scalars(select(BURIED.c.number)))
        if not obeyed <= tombstones:
            raise BackupRefused(
                "custody_older",
                "The custody here is older than the backup: who was erased between the two would come back.",
                remedy="Restore a copy of custody that was made after the backup.",
            )
        erased_since = len(tombstones - obeyed)

    revision, place = revision_told(next(lines, b"")), databases.node
    if isinstance(place, str):
        _rebuild(place, revision, load)
        return erased_since
    if any(each.exists() for each in beside(place)):
        raise _not_empty()
    sweep_staging(place)
    try:
        _rebuild(staging(place), revision, load)
        flush(staging(place))
        # If the power fails before the next line, there is no database, and what was begun is swept at the next try.
        staging(place).rename(place)
        flush(place.parent)
    except BaseException:
        sweep_staging(place)
        raise
    return erased_since


def _rebuild(place: Place, revision: str, load: Callable[[Connection], None]) -> None:
    if revision > latest(Schema.NODE):
        raise BackupRefused(
            "backup_newer", "The backup was made by a newer version of the node.", remedy="Restore it with that one."
        )
    try:
        rebuild(place, Schema.NODE, revision, load)
    except DatabaseNotEmpty as error:
        raise _not_empty() from error


def _tombstones(databases: Databases) -> set[int]:
    place = databases.custody
    found = connect(place) if isinstance(place, str) or place.exists() else None
    try:
        if found is None or not revision_of(found):
            raise BackupRefused(
                "custody_missing",
                "There is no custody here: no payload would open, and who was erased would come back.",
                remedy="Restore the custody database and folder from their own backup first.",
            )
        with storage_errors(), found.connect() as connection:
            return set(connection.scalars(select(TOMBSTONES.c.number)))
    finally:
        if found is not None:
            close(found)


def _not_empty() -> BackupRefused:
    return BackupRefused(
        "restore_not_empty",
        "There are rows already, and none are overwritten.",
        remedy="Move node.db and what lies beside it away, or name an empty database.",
    )
