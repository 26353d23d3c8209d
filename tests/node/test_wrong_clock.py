"""A node, and each command beside it, says once and plainly that its clock is behind its log.

The usual cause is a second terminal, in which nobody named the sandbox's clock file.
"""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from town import Company, town
from typer.testing import CliRunner, Result

from tallystick.audit import DirectorySource, audit
from tallystick_node.again import again
from tallystick_node.backups.node import back_up, put_back
from tallystick_node.cli import app
from tallystick_node.clock import CLOCK_BACK_MAX_S, SetClock, span_text
from tallystick_node.config import CLOCK_VARIABLE
from tallystick_node.errors import ClockBehind, StorageUnavailable
from tallystick_node.operator.apps import list_app_keys
from tallystick_node.operator.clock import require_clock

BEHIND = 147 * 86_400


@pytest.fixture(scope="module")
def gym(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """A gym whose log is of February 2027."""
    with town(Path(tmp_path_factory.mktemp("clock"))) as story:
        company = story.company("gym.example")
        company.work()
        yield company


def test_a_node_is_not_ready_while_its_clock_refuses_every_write(gym: Company) -> None:
    assert httpx.get(f"{gym.url}/readyz").json()["status"] == "ready"
    right_s = gym.clock.at_s
    try:
        gym.clock.at_s = right_s - CLOCK_BACK_MAX_S
        assert httpx.get(f"{gym.url}/readyz").status_code == 200  # clocks are set right now and then
        gym.clock.at_s = right_s - BEHIND
        told = httpx.get(f"{gym.url}/readyz")
    finally:
        gym.clock.at_s = right_s
    assert (told.status_code, told.json()["code"]) == (503, "clock_skew")
    assert "147 days behind" in told.json()["detail"]
    assert "TALLYSTICK_CLOCK_FILE" in told.json()["remedy"]
    assert httpx.get(f"{gym.url}/readyz").json()["status"] == "ready"


@pytest.mark.parametrize(
    "command",
    [
        ["keys", "add", "{gym}", "second-terminal", "--every-scope", "--days", "30"],
        ["keys", "rotate", "{gym}", "claim"],
        ["keys", "revoke", "{gym}", "claim", "--since", "2026-11-01T00:00Z"],
        ["partner", "add", "{gym}", "{gym}/descriptor.jwt", "--fingerprint", "00"],
        ["backup", "{gym}", "{gym}/second-terminal.backup"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_a_command_that_writes_a_time_is_refused_in_a_terminal_of_another_clock(
    gym: Company, tmp_path: Path, command: list[str]
) -> None:
    clock = tmp_path / "clock"
    clock.write_text(str(gym.clock.at_s - BEHIND))
    keys, made = (gym.folder / "keys" / "keys.json").read_bytes(), list_app_keys(gym.folder)
    named = [word.format(gym=gym.folder) for word in command]
    said = CliRunner().invoke(app, named, env={CLOCK_VARIABLE: str(clock)})
    assert isinstance(said.exception, ClockBehind), said.output
    assert (gym.folder / "keys" / "keys.json").read_bytes() == keys
    assert list_app_keys(gym.folder) == made
    assert not (gym.folder / "second-terminal.backup").exists()


def test_a_backup_is_not_put_back_by_a_clock_of_before_it_was_made(gym: Company, tmp_path: Path) -> None:
    file = tmp_path / "gym.backup"
    back_up(gym.folder, file, clock=gym.clock)
    early = SetClock(gym.clock.at_s - CLOCK_BACK_MAX_S - 1)
    with pytest.raises(ClockBehind):
        put_back(gym.folder, file, clock=early)


def accepting(gym: Company, clock: Path | None, *more: str) -> Result:
    """Run `accept-clock` in a terminal of that clock, or of this machine's."""
    environment = {CLOCK_VARIABLE: None if clock is None else str(clock)}
    return CliRunner().invoke(app, ["accept-clock", str(gym.folder), *more], env=environment)


def recorded(gym: Company, text: str) -> None:
    """Let the gym's log have one entry more."""
    asyncio.run(gym.node.written(lambda transaction: transaction.append("program", {"note": text})))


def test_a_clock_is_accepted_by_whoever_was_told_what_every_audit_finds_then(tmp_path: Path) -> None:
    with town(tmp_path / "town") as story:
        gym, clock = story.company("gym.example"), tmp_path / "clock"
        right_s = gym.clock.at_s
        clock.write_text(str(right_s - CLOCK_BACK_MAX_S))
        assert "nothing to accept" in accepting(gym, clock).stdout  # the node writes by this one anyway
        gym.clock.at_s += 7 * 86_400
        recorded(gym, "a week ahead")
        clock.write_text(str(right_s + 60))
        for _ in range(2):
            told = accepting(gym, clock).exception
            assert isinstance(told, ClockBehind)
            assert "6 days before" in told.problem
            assert "P16.order" in told.problem
            assert "--yes" in told.remedy
        assert "6 days before" in accepting(gym, clock, "--yes").stdout
        assert "nothing to accept" in accepting(gym, clock, "--yes").stdout
        gym.clock.at_s = right_s + 60
        recorded(gym, "right")
        gym.work()
        log = gym.folder / "log"
        assert [each.where for each in audit([DirectorySource(str(log))]).findings if each.rule == "P16.order"]


@pytest.mark.parametrize(
    ("moved_s", "why"), [(-60 * 86_400, "the year of its log"), (-86_400, "a key that would sign it")]
)
def test_a_clock_of_before_the_log_or_its_keys_is_accepted_by_nobody(
    gym: Company, tmp_path: Path, moved_s: int, why: str
) -> None:
    clock = tmp_path / "clock"
    clock.write_text(str(gym.clock.at_s + moved_s))
    told = accepting(gym, clock, "--yes").exception
    assert isinstance(told, ClockBehind)
    assert why in told.problem
    with pytest.raises(ClockBehind):
        require_clock(gym.folder, SetClock(gym.clock.at_s + moved_s))  # nothing has changed


def test_a_sandbox_is_not_set_back_in_a_terminal_where_nobody_named_its_clock(gym: Company) -> None:
    right_s, gym.clock.at_s = gym.clock.at_s, 4_102_358_400  # of 2099, which this machine's clock is before
    recorded(gym, "far ahead")
    told = accepting(gym, None, "--yes").exception
    gym.clock.at_s = right_s
    assert isinstance(told, ClockBehind)
    assert "A sandbox's log" in told.problem
    assert "TALLYSTICK_CLOCK_FILE" in told.remedy
    with pytest.raises(ClockBehind):
        require_clock(gym.folder, gym.clock)


def test_a_node_that_has_no_rows_yet_has_no_time_to_be_behind(gym: Company) -> None:
    gym.stop()
    rows = gym.databases.node
    gym.lose_rows()
    require_clock(gym.folder, SetClock(1))
    assert not isinstance(rows, Path) or not rows.exists()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(301, "5 minutes"), (7_199, "119 minutes"), (7_200, "2 hours"), (172_800, "2 days"), (12_714_740, "147 days")],
)
def test_a_span_is_said_in_the_unit_that_people_would_take(seconds: int, text: str) -> None:
    assert span_text(seconds) == text


def test_a_job_that_waits_says_so_once_with_what_to_do_and_again_when_it_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    behind = ClockBehind("The clock is behind.", remedy="Set it right.")
    away = StorageUnavailable("The disk is away.", remedy="Bring it back.")
    outcomes = iter([None, behind, behind, away, away, behind, None, None, behind])

    async def work() -> None:
        try:
            outcome = next(outcomes)
        except StopIteration:
            raise asyncio.CancelledError from None
        if outcome is not None:
            raise outcome

    with caplog.at_level(logging.INFO, logger="tallystick_node.again"), pytest.raises(asyncio.CancelledError):
        asyncio.run(again("publication", work, 0, failed_pause_s=0))
    clock = "publication waits: [clock_skew] The clock is behind. Remedy: Set it right."
    disk = "publication waits: [storage_unavailable] The disk is away. Remedy: Bring it back."
    assert caplog.messages == [clock, disk, clock, "publication goes on", clock]
