"""Backup files: two that are made at once, and the keys of days beside files that are none."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick_node.backups.files import lines_in, read_label, write_backup
from tallystick_node.errors import BackupRefused
from tallystick_node.keys.day_keys import KEY_LIFE_DAYS, DayKeys

TODAY = 20_800


@pytest.fixture
def keys(tmp_path: Path) -> DayKeys:
    folder = tmp_path / "custody"
    folder.mkdir(mode=0o700)
    return DayKeys(folder, "backup", random_bytes=secrets.token_bytes)


def back_up(path: Path, lines: Iterator[bytes], keys: DayKeys) -> int:
    return write_backup(
        path, lines, host="gym.example", keys=keys, today=TODAY, random_bytes=secrets.token_bytes
    )  # fmt: skip


def test_of_two_backups_that_are_made_at_once_one_is_whole_and_the_other_is_refused(
    tmp_path: Path, keys: DayKeys
) -> None:
    """An hourly job is not done when the next begins; both have the same name for what they make."""
    path = tmp_path / "gym.backup"

    def slow() -> Iterator[bytes]:
        yield b"slow\n"
        back_up(path, iter([b"quick\n", b"end\n"]), keys)
        yield b"end\n"

    with pytest.raises(BackupRefused) as refused:
        back_up(path, slow(), keys)
    assert refused.value.code == "backup_exists"
    with path.open("rb") as file:
        label = read_label(file)
        assert list(lines_in(file, label, keys=keys, today=TODAY)) == [b"quick", b"end"]
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["gym.backup"]


def test_a_file_that_is_no_key_keeps_no_dead_key_alive(tmp_path: Path, keys: DayKeys) -> None:
    keys.find_or_make(TODAY)
    for stray in ("backup-20000-copy.key", "backup-.key", ".backup-x.key.00.new"):
        (tmp_path / "custody" / stray).write_text("none")
    keys.destroy_dead(TODAY + KEY_LIFE_DAYS)
    assert keys.find(TODAY) is None
