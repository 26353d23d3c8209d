"""All of the demo, in order: an empty folder, the story, the reckoning, the report."""

import fcntl
import shutil
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from tallystick.audit import Report
from tallystick_ledger.errors import TallyError
from tallystick_node.config import SETTINGS_FILE
from tallystick_node.demo.crossed import crossed_claims
from tallystick_node.demo.errors import DemoNotRun
from tallystick_node.demo.learned import Learned, what_was_learned
from tallystick_node.demo.promises import Promises
from tallystick_node.demo.reckoning import check_fees, check_heads, check_leaks, check_stores, run_audits
from tallystick_node.demo.report import write_private, write_report
from tallystick_node.demo.screen import Screen
from tallystick_node.demo.story import Story
from tallystick_node.demo.town import Town, open_town
from tallystick_node.demo.workouts import RealWorkout, find_real_workouts

KEPT, BROKEN = 0, 1

_OURS = ("wire.jsonl", "report.json", f"gym/{SETTINGS_FILE}")
"""What an earlier demo leaves: a folder without any of these is not touched."""


def play_demo(out: Path, *, data: Path | None, console: Console) -> int:
    """Play the demo into `out`; return 0 if every promise held that was checked, else 1.

    Args:
        out: a folder that is not there, is empty, or holds an earlier demo, which is removed.
        data: a folder of real workout files, of which some are imported; None: none are.
        console: what is printed on.

    Raises:
        DemoNotRun, ExtraMissing: it could not begin.
    """
    began_s = time.monotonic()
    workouts = find_real_workouts(data) if data is not None else []
    promises = Promises()
    screen = Screen(console, promises)
    with _alone(out):
        make_room(out)
        return _play_alone(out, screen, promises, workouts, began_s=began_s)


def _play_alone(out: Path, screen: Screen, promises: Promises, workouts: list[RealWorkout], *, began_s: float) -> int:
    screen.title("Tallystick: a gym, an insurer, and a proxy between them that writes down all that crosses")
    with _terminated_as_interrupted(), open_town(out) as town:
        learned = _play(town, screen, promises, workouts)
    audits = _reckon(town, screen, ended=learned is not None)
    write_private(out, town.private)
    write_report(out, learned=learned, promises=promises, audits=audits)
    _summarise(screen, learned, promises, out=out, took_s=time.monotonic() - began_s)
    return KEPT if promises.kept else BROKEN


def make_room(out: Path) -> None:
    """Make an empty folder of `out`; what an earlier demo left there is removed, and nothing else ever is.

    Raises:
        DemoNotRun: something else is there.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise DemoNotRun("The folder to leave the demo in is no folder.", remedy="Give another --out.")
    if out.is_dir() and any(out.iterdir()):
        if not any((out / name).is_file() for name in _OURS):
            raise DemoNotRun(
                "There is something else than an earlier demo in that folder.", remedy="Give another --out."
            )
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)


def _play(town: Town, screen: Screen, promises: Promises, workouts: list[RealWorkout]) -> Learned | None:
    """Play the story; return what the companies learned, None where it did not come to its end."""
    story = Story(town, screen, workouts)
    try:
        story.play()
        town.rest()
    except TallyError as error:
        promises.stopped = str(error)
        screen.broken(f"The story stops here. {error}")
        return None
    return what_was_learned(town, story)


def _reckon(town: Town, screen: Screen, *, ended: bool) -> list[Report]:
    screen.act("7. The reckoning", "nodes stopped; from published files and the recording alone")
    try:
        audits = run_audits(town, screen)
        check_heads(town, screen)
        check_leaks(town, screen)
        check_stores(town, screen)
        if ended:
            taken = [each for each in crossed_claims(town.wire.exchanges()) if each.taken]
            check_fees(town, screen, claim_count=len(taken))
    except (TallyError, OSError) as error:
        screen.check("P1", f"Both ledgers can be read to their end. {error}", held=False)
        return []
    return audits


def _summarise(screen: Screen, learned: Learned | None, promises: Promises, *, out: Path, took_s: float) -> None:
    if learned is not None:
        for partner in ("insurer", "gym"):
            screen.act(f"What the {partner} learned")
            for sentence in learned.learned[partner]:
                screen.step(sentence)
            screen.act(f"What the {partner} did not learn")
            for sentence in learned.not_learned[partner]:
                screen.step(sentence)
    screen.act("Promises", f"{len(promises.checks)} checks in {took_s:.0f} seconds")
    verdicts = promises.verdicts()
    screen.step("held: " + (" ".join(each for each, held in verdicts.items() if held) or "none"))
    if promises.stopped:
        screen.broken(f"NOT PLAYED TO ITS END: {promises.stopped}")
    for check in promises.broken():
        screen.broken(f"BROKEN {check.promise}: {check.sentence}")
    screen.act("Look for yourself")
    screen.step(f"tally audit {out}/gym/log {out}/insurer/log")
    screen.step(f"{out}/report.html, {out}/wire.jsonl (all that crossed), {out}/private.json (all that must not)")


@contextmanager
def _alone(out: Path) -> Generator[None]:
    """Keep every other demo out of a folder; a demo that was killed keeps nobody out."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_name(f"{out.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DemoNotRun(
                "Another demo is being played into that folder.", remedy="Wait for its end, or give another --out."
            ) from error
        yield


@contextmanager
def _terminated_as_interrupted() -> Generator[None]:
    """Let a SIGTERM end the demo as Ctrl-C does, so that the processes it started are stopped."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
