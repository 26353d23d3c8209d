"""All of the demo, in order: an empty folder, the story, the reckoning, the report."""

import fcntl
import shutil
import signal
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from tallystick.audit import Report
from tallystick_ledger.errors import TallyError
from tallystick_node.config import SETTINGS_FILE
from tallystick_node.demo.crossed import crossed_claims
from tallystick_node.demo.erasing import CERTIFICATE_FILE
from tallystick_node.demo.errors import DemoNotRun
from tallystick_node.demo.learned import Learned, what_was_learned
from tallystick_node.demo.people import AGREED, PROGRAM, called
from tallystick_node.demo.promises import PROMISES, Promises
from tallystick_node.demo.proxy import Wire
from tallystick_node.demo.reckoning import check_erased, check_fees, check_heads, check_leaks, check_stores, run_audits
from tallystick_node.demo.report import Played, write_private, write_report
from tallystick_node.demo.savings import SavingsStory
from tallystick_node.demo.savings import what_was_learned as what_was_learned_of_steps
from tallystick_node.demo.screen import Screen
from tallystick_node.demo.story import Story
from tallystick_node.demo.town import Town, open_town
from tallystick_node.demo.walkers import AGREED as STEPS_AGREED
from tallystick_node.demo.walkers import PROGRAM as STEPS_PROGRAM
from tallystick_node.demo.walkers import Walker, find_real_walker
from tallystick_node.demo.workouts import RealWorkout, find_real_workouts
from tallystick_node.setup import read_fingerprint

KEPT, BROKEN = 0, 1

_MARK = ".tallystick-demo"
"""The first thing that a demo leaves in its folder: one without it is not touched."""

_OF_BEFORE = ("wire.jsonl", f"gym/{SETTINGS_FILE}")
"""What a demo of a version before there was a mark has left, both of them."""


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
    walker = find_real_walker(data) if data is not None else None
    promises = Promises()
    screen = Screen(console, promises)
    with _alone(out):
        make_room(out)
        return _play_alone(out, screen, promises, workouts, walker, began_s=began_s)


def _play_alone(
    out: Path,
    screen: Screen,
    promises: Promises,
    workouts: list[RealWorkout],
    walker: Walker | None,
    *,
    began_s: float,
) -> int:
    screen.title(
        "Tallystick: companies with the same customers, and a proxy between them that writes down all that crosses"
    )

    def fitness(town: Town) -> Learned:
        story = Story(town, screen, workouts)
        story.play()
        town.rest()
        return what_was_learned(town, story)

    def savings(town: Town) -> Learned:
        story = SavingsStory(town, screen, walker)
        story.play()
        return what_was_learned_of_steps(town, story)

    played: list[Played] = []
    with _terminated_as_interrupted(), closing(Wire(out / "wire.jsonl")) as wire:
        for plan in (
            Plan("fitness and insurance", "gym", "insurer", fitness, AGREED, PROGRAM),
            Plan("steps and savings", "track", "pace", savings, STEPS_AGREED, STEPS_PROGRAM),
        ):
            if not promises.stopped:
                played.append(_play(plan, out, wire, screen, promises))
    write_private(out, played)
    write_report(out, played=played, promises=promises)
    _summarise(screen, played, promises, out=out, took_s=time.monotonic() - began_s)
    return KEPT if promises.kept else BROKEN


def make_room(out: Path) -> None:
    """Make a folder of `out` that holds its mark alone; what an earlier demo left there is removed, and nothing else.

    Raises:
        DemoNotRun: something else is there.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise DemoNotRun("The folder to leave the demo in is no folder.", remedy="Give another --out.")
    if out.is_dir() and any(out.iterdir()):
        is_ours = (out / _MARK).is_file() or all((out / name).is_file() for name in _OF_BEFORE)
        if not is_ours:
            raise DemoNotRun(
                "There is something else than an earlier demo in that folder.", remedy="Give another --out."
            )
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARK).touch()


@dataclass(frozen=True, slots=True)
class Plan:
    """A journey that is going to be played.

    Attributes:
        issuer, payer: the companies' names.
        play: plays it in a town, and returns what was learned.
        agreed: values that both companies know by contract.
        program: the contract.
    """

    name: str
    issuer: str
    payer: str
    play: Callable[[Town], Learned]
    agreed: list[str]
    program: Mapping[str, Any]


def _play(plan: Plan, out: Path, wire: Wire, screen: Screen, promises: Promises) -> Played:
    """Play one journey, then reckon with it."""
    learned: Learned | None = None
    with open_town(out, wire, issuer=plan.issuer, payer=plan.payer) as town:
        try:
            learned = plan.play(town)
        except TallyError as error:
            promises.stopped = str(error)
            screen.broken(f"The story stops here. {error}")
    audits = _reckon(plan, town, screen, ended=learned is not None)
    return Played(plan.name, (plan.issuer, plan.payer), learned, tuple(audits), town.private, tuple(plan.agreed))


def _reckon(plan: Plan, town: Town, screen: Screen, *, ended: bool) -> list[Report]:
    screen.act(f"The reckoning: {plan.name}", "nodes stopped; from published files and the recording alone")
    try:
        audits = run_audits(town, screen)
        check_heads(town, screen)
        check_leaks(town, screen, agreed=plan.agreed)
        check_stores(town, screen)
        check_erased(town, screen)
        if ended:
            taken = [each for each in crossed_claims(town.wire.exchanges(since=town.began)) if each.taken]
            check_fees(town, screen, claim_count=len(taken), fee_minor=plan.program["fee"]["amount"])
    except (TallyError, OSError) as error:
        screen.check("P1", f"Both ledgers can be read to their end. {error}", held=False)
        return []
    return audits


def _summarise(screen: Screen, played: Sequence[Played], promises: Promises, *, out: Path, took_s: float) -> None:
    for journey in played:
        if journey.learned is None:
            continue
        for partner in reversed(journey.partners):
            screen.act(f"What the {called(partner)} learned")
            for sentence in journey.learned.learned[partner]:
                screen.step(sentence)
            screen.act(f"What the {called(partner)} did not learn")
            for sentence in journey.learned.not_learned[partner]:
                screen.step(sentence)
    screen.act("Promises", f"{len(promises.checks)} checks in {took_s:.0f} seconds")
    verdicts = promises.verdicts()
    screen.step("held: " + (" ".join(each for each, held in verdicts.items() if held) or "none"))
    unseen = " ".join(each for each in PROMISES if each not in verdicts)
    screen.step(
        f"What each promises, and what no audit can see of it: tally audit --explain P4. Not shown here: {unseen}"
    )
    if promises.stopped:
        screen.broken(f"NOT PLAYED TO ITS END: {promises.stopped}")
    for check in promises.broken():
        screen.broken(f"BROKEN {check.promise}: {check.sentence}")
    screen.act("Look for yourself")
    for journey in played:
        logs = " ".join(f"{out}/{partner}/log" for partner in journey.partners)
        screen.step(f"tally audit {logs}{_rules_of(journey)}")
        if journey.private.erased:
            named = " ".join(f"--fingerprint {read_fingerprint(out / partner)}" for partner in journey.partners)
            screen.step(f"tally verify {out}/{CERTIFICATE_FILE} {named}")
    screen.step(f"{out}/report.html, {out}/wire.jsonl (all that crossed), {out}/private.json (all that must not)")


def _rules_of(journey: Played) -> str:
    """Return why an audit of both logs checks more rules than that of one."""
    if not journey.audits:
        return ""
    alone, together = len(journey.audits[0].rules), len(journey.audits[-1].rules)
    return f"  ({together} rules: {alone} of each log alone, {together - alone} between the two)"


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
