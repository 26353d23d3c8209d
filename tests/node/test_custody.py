"""Custody keeps secrets until they are destroyed, and then nothing brings them back: no file, no old backup."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hostile import locked
from signers import NOW_S
from sqlalchemy import select

from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.errors import PayloadErased, PayloadUnavailable
from tallystick_ledger.times import DAY_S
from tallystick_node.clock import SetClock
from tallystick_node.errors import SettingsInvalid, StorageUnavailable
from tallystick_node.keys.custody import Custody
from tallystick_node.keys.custody_tables import SECRETS
from tallystick_node.keys.day_keys import KEY_LIFE_DAYS, DayKeys
from tallystick_node.keys.subject_secrets import SubjectKeys

SECRET = bytes(range(32))
TODAY = NOW_S // DAY_S


def random_bytes() -> Iterator[bytes]:
    count = 0
    while True:
        count += 1
        yield bytes([count % 256])


@pytest.fixture
def clock() -> SetClock:
    return SetClock(NOW_S)


@pytest.fixture
def custody(tmp_path: Path, clock: SetClock) -> Iterator[Custody]:
    made = opened(tmp_path / "custody", clock)
    yield made
    made.close()


def opened(folder: Path, clock: SetClock) -> Custody:
    draws = random_bytes()
    return Custody(folder, clock=clock, random_bytes=lambda size: next(draws) * size)


def pragma(custody: Custody, setting: str) -> None:
    """Set something on the one connection that custody has."""
    with custody.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA {setting}").close()


def files_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def wrapped(folder: Path, name: str) -> bytes:
    with closing(sqlite3.connect(folder / "keys.db")) as opened:
        (found,) = opened.execute("SELECT wrapped FROM secret WHERE name = ?", (name,)).fetchone()
    return bytes(found)


def test_a_secret_is_found_again_after_a_restart_and_stands_nowhere_in_the_clear(
    tmp_path: Path, clock: SetClock, custody: Custody
) -> None:
    custody.keep("link/a", SECRET)
    assert SECRET not in files_of(tmp_path / "custody")
    assert to_base64url(SECRET).encode() not in files_of(tmp_path / "custody")
    again = opened(tmp_path / "custody", clock)
    assert again.find("link/a") == SECRET
    again.close()


def test_what_was_destroyed_is_in_no_file_and_is_never_made_again(tmp_path: Path, custody: Custody) -> None:
    """Once it has come to rest in the database itself, where a deleted row's bytes would stay."""
    custody.keep("link/a", SECRET)
    custody.keep("link/b", SECRET)
    with closing(sqlite3.connect(tmp_path / "custody" / "keys.db")) as live:
        live.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    was = wrapped(tmp_path / "custody", "link/a")
    assert was in (tmp_path / "custody" / "keys.db").read_bytes()
    custody.destroy("link/a")
    assert was not in files_of(tmp_path / "custody")
    assert custody.find("link/a") is None
    assert custody.is_destroyed("link/a")
    with pytest.raises(PayloadErased):
        custody.find_or_make("link/a")


def test_what_was_never_there_is_destroyed_as_well(custody: Custody) -> None:
    custody.destroy("subject/never")
    with pytest.raises(PayloadErased):
        custody.find_or_make("subject/never")


def test_what_only_passed_through_may_come_again(custody: Custody) -> None:
    custody.keep("half/a", SECRET)
    custody.forget("half/a")
    assert custody.find("half/a") is None
    assert custody.find_or_make("half/a") != SECRET


def test_two_that_ask_for_the_same_new_secret_get_the_same(custody: Custody) -> None:
    assert custody.find_or_make("index") == custody.find_or_make("index")


def test_a_backup_opens_nobody_once_its_wrapping_key_is_gone(tmp_path: Path, clock: SetClock, custody: Custody) -> None:
    """The backup holds the database and not the wrapping keys, as it must; the secret is erased the day after."""
    custody.keep("link/a", SECRET)
    custody.keep("link/b", SECRET[::-1])
    with closing(sqlite3.connect(tmp_path / "custody" / "keys.db")) as live:
        live.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(tmp_path / "custody" / "keys.db", tmp_path / "backup.db")
    clock.at_s += DAY_S
    custody.destroy("link/a")
    for _ in range(KEY_LIFE_DAYS - 1):
        clock.at_s += DAY_S
        custody.rewrap()
    assert custody.find("link/b") == SECRET[::-1]
    restored = tmp_path / "restored"
    shutil.copytree(tmp_path / "custody", restored, ignore=shutil.ignore_patterns("keys.db*"))
    shutil.copy(tmp_path / "backup.db", restored / "keys.db")
    late = opened(restored, clock)
    with pytest.raises(SettingsInvalid):
        late.find("link/a")
    late.close()


def test_a_wrapping_key_lives_seven_days_and_no_longer(tmp_path: Path, clock: SetClock, custody: Custody) -> None:
    custody.keep("link/a", SECRET)
    first = tmp_path / "custody" / f"wrap-{TODAY}.key"
    clock.at_s += (KEY_LIFE_DAYS - 1) * DAY_S
    custody.rewrap()
    assert first.exists()
    clock.at_s += DAY_S
    custody.rewrap()
    assert not first.exists()
    assert custody.find("link/a") == SECRET


def test_a_wrapping_key_that_was_damaged_is_the_custody_s_trouble_and_no_caller_s(
    tmp_path: Path, custody: Custody
) -> None:
    custody.keep("link/a", SECRET)
    key = tmp_path / "custody" / f"wrap-{TODAY}.key"
    for damaged in ("", "A", "AAAA", "not base64url!"):
        key.write_text(damaged)
        with pytest.raises(SettingsInvalid, match="wrap key cannot be read"):
            custody.find("link/a")


def test_many_secrets_are_wrapped_anew_a_piece_at_a_time_and_none_is_left_out(
    clock: SetClock, custody: Custody, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallystick_node.keys.custody.REWRAPPED_AT_ONCE", 3)
    names = [f"link/{each}" for each in range(8)]
    custody.keep_many(dict.fromkeys(names, SECRET))
    clock.at_s += DAY_S
    custody.keep("link/55", SECRET)  # of today, between the others
    custody.destroy("link/2")
    custody.rewrap()
    with custody.engine.connect() as connection:
        days = {row.name: row.day for row in connection.execute(select(SECRETS))}
    assert days == dict.fromkeys({*names, "link/55"} - {"link/2"}, TODAY + 1)
    assert set(custody.find_many(names).values()) == {SECRET}


def test_where_there_is_no_folder_no_key_has_to_be_destroyed(tmp_path: Path) -> None:
    """A backup is asked for, or to be put back, where custody is missing: that is told, and no traceback."""
    keys = DayKeys(tmp_path / "nowhere", "backup", random_bytes=bytes)
    keys.destroy_dead(TODAY)
    assert keys.find(TODAY) is None


def test_a_secret_put_under_another_name_does_not_open(tmp_path: Path, custody: Custody) -> None:
    """Whoever can write the database could else hand one subject's key to another."""
    custody.keep("link/a", SECRET)
    custody.keep("link/b", SECRET[::-1])
    with closing(sqlite3.connect(tmp_path / "custody" / "keys.db")) as writer, writer:
        writer.execute("UPDATE secret SET wrapped = (SELECT wrapped FROM secret WHERE name='link/a')")
    assert custody.find("link/a") == SECRET
    with pytest.raises(PayloadUnavailable):
        custody.find("link/b")


def test_a_secret_put_under_another_day_does_not_open(tmp_path: Path, clock: SetClock, custody: Custody) -> None:
    custody.keep("link/a", SECRET)
    shutil.copy(tmp_path / "custody" / f"wrap-{TODAY}.key", tmp_path / "custody" / f"wrap-{TODAY + 9}.key")
    with closing(sqlite3.connect(tmp_path / "custody" / "keys.db")) as writer, writer:
        writer.execute("UPDATE secret SET day = day + 9")
    clock.at_s += 9 * DAY_S
    with pytest.raises(PayloadUnavailable):
        custody.find("link/a")


def test_a_destruction_that_fails_is_done_whole_when_it_is_asked_for_again(tmp_path: Path, custody: Custody) -> None:
    custody.keep("link/a", SECRET)
    pragma(custody, "busy_timeout=50")  # else this takes six seconds
    with locked(tmp_path / "custody" / "keys.db"):
        for change in (custody.destroy, custody.forget, lambda name: custody.keep(name, SECRET)):
            with pytest.raises(StorageUnavailable):
                change("link/a")
        assert custody.find("link/a") == SECRET
        assert not custody.is_destroyed("link/a")
    pragma(custody, "query_only=ON")
    with pytest.raises(StorageUnavailable):
        custody.destroy("link/a")
    pragma(custody, "query_only=OFF")
    assert not custody.is_destroyed("link/a")
    custody.destroy("link/a")
    assert custody.is_destroyed("link/a")


def test_only_the_owner_reads_any_of_it(tmp_path: Path, custody: Custody) -> None:
    custody.keep("link/a", SECRET)
    assert (tmp_path / "custody").stat().st_mode & 0o077 == 0
    for path in (tmp_path / "custody").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path.name


def test_a_subject_without_a_key_and_one_that_was_erased_are_told_apart(custody: Custody) -> None:
    keys = SubjectKeys(custody, lambda subject: f"subject/{subject}")
    with pytest.raises(PayloadUnavailable):
        keys.key_of("ana")
    made = keys.key_for("ana")
    assert keys.key_of("ana") == keys.key_for("ana") == made
    custody.destroy("subject/ana")
    for find in (keys.key_of, keys.key_for):
        with pytest.raises(PayloadErased):
            find("ana")
