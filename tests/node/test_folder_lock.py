"""A data folder has one process: a second one is told so, and nothing of the folder is touched (issue: never fork)."""

import subprocess
import sys
from pathlib import Path

import pytest
from signers import NOW_S

from tallystick_node.clock import SetClock
from tallystick_node.config import DATABASE_FILE
from tallystick_node.errors import FolderInUse, SettingsInvalid, StorageUnavailable
from tallystick_node.operator.apps import add_app_key
from tallystick_node.operator.partners import list_partners
from tallystick_node.setup import create_node, open_node
from tallystick_node.storage.folder_lock import LOCK_FILE

pytestmark = pytest.mark.sqlite  # processes that share a PostgreSQL share their folder too

CLI = [sys.executable, "-m", "tallystick_node.cli"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "gym"
    create_node(
        made, host="gym.example", url="http://127.0.0.1:1", bind="127.0.0.1:1", sandbox=True, clock=SetClock(NOW_S)
    )
    return made


def test_a_folder_that_is_served_is_not_served_again(folder: Path) -> None:
    node = open_node(folder, clock=SetClock(NOW_S))
    try:
        with pytest.raises(FolderInUse, match=r"process [0-9]+") as refused:
            open_node(folder, clock=SetClock(NOW_S))
        assert "Stop it first" in refused.value.remedy
        served = subprocess.run([*CLI, "serve", str(folder)], capture_output=True, text=True, timeout=60, check=False)
        assert served.returncode == 2
        assert "folder_in_use: " in served.stderr
    finally:
        node.close()
    open_node(folder, clock=SetClock(NOW_S)).close()


def test_what_an_operator_does_beside_a_running_node_still_works(folder: Path) -> None:
    node = open_node(folder, clock=SetClock(NOW_S))
    try:
        assert list_partners(folder) == []
        assert add_app_key(folder, name="desk", scopes=["audit:read"], clock=SetClock(NOW_S)).secret
    finally:
        node.close()


def test_a_folder_that_cannot_be_written_is_said_to_be_so(folder: Path) -> None:
    (folder / LOCK_FILE).unlink(missing_ok=True)
    (folder / LOCK_FILE).mkdir()
    with pytest.raises(SettingsInvalid, match="cannot be written"):
        open_node(folder, clock=SetClock(NOW_S))


def test_a_node_that_cannot_be_opened_leaves_its_folder_free(folder: Path) -> None:
    database = folder / DATABASE_FILE
    database.write_bytes(b"this is a letter, and no database at all" * 100)
    with pytest.raises(StorageUnavailable):
        open_node(folder, clock=SetClock(NOW_S))
    database.unlink()
    open_node(folder, clock=SetClock(NOW_S)).close()
