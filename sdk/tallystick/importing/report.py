"""Reads files and folders into visits, and says of each file what became of it.

Every file is read before the caller has a visit to record, so an import is whole or not at all. A file that cannot be
read is reported and does not stop the others; a workout is dropped from memory as soon as its visits are found.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tallystick.importing.errors import WorkoutUnreadable
from tallystick.importing.facilities import Facility
from tallystick.importing.visits import FoundVisit, GeofenceRule, find_visits, merge_visits
from tallystick.importing.workouts import SUFFIXES, Workout, read_workout
from tallystick_ledger.errors import BadInput

FILES_MAX = 10_000

Status = Literal["read", "no_position", "no_time", "duplicate", "unreadable"]


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one file.

    Attributes:
        name: its path, as it was given or found in a folder given; the user's own, so for the user's eyes.
        status: `read`; `no_position` or `no_time` (nothing a geofence can use); `duplicate` of a file before it;
            or `unreadable`.
        points_count: points used.
        dropped_count: points left out, without a position or a time, or no later than the one before.
        reason: why it is unreadable, a key of `errors.PROBLEMS`; else None.
    """

    name: str
    status: Status
    points_count: int = 0
    dropped_count: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import found; it has recorded nothing yet.

    Attributes:
        files: one outcome a file, in the order they were read.
        visits: what to record, each once, in order of their start.
        passed_over_count: files in folders that no suffix says are workouts.
    """

    files: tuple[FileOutcome, ...]
    visits: tuple[FoundVisit, ...]
    passed_over_count: int = 0


def import_files(
    paths: Iterable[Path],
    facilities: Sequence[Facility],
    *,
    rule: GeofenceRule | None = None,
    with_positions: bool = False,
) -> ImportReport:
    """Return what files say of visits at facilities.

    Args:
        paths: files, and folders to search at any depth for `.fit`, `.gpx` and `.tcx`.
        facilities: the approved ones.
        rule: what makes fixes a visit; the default rule if left out.
        with_positions: keep the fixes of each visit (see `find_visits`).

    Raises:
        BadInput: more files than one import takes.
        ExtraMissing: the libraries that read workouts are not installed.
    """
    chosen, passed_over_count = _expand(paths)
    outcomes: list[FileOutcome] = []
    visits: list[FoundVisit] = []
    digests: set[str] = set()
    for path in chosen:
        try:
            workout = read_workout(path)
        except WorkoutUnreadable as error:
            outcomes.append(FileOutcome(str(path), "unreadable", reason=error.reason))
            continue
        outcomes.append(_outcome(path, workout, is_known=workout.digest in digests))
        if workout.digest not in digests:
            digests.add(workout.digest)
            visits += find_visits([workout], facilities, rule=rule, with_positions=with_positions)
    return ImportReport(tuple(outcomes), merge_visits(visits), passed_over_count)


def _expand(paths: Iterable[Path]) -> tuple[list[Path], int]:
    chosen: dict[Path, None] = {}
    passed_over: set[Path] = set()
    for path in paths:
        inside = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        for each in inside:
            if path is each or each.suffix.lower() in SUFFIXES:
                chosen[each] = None
            else:
                passed_over.add(each)
        if len(chosen) > FILES_MAX:
            raise BadInput(f"An import takes at most {FILES_MAX} files.", remedy="Import one folder after the other.")
    return list(chosen), len(passed_over)


def _outcome(path: Path, workout: Workout, *, is_known: bool) -> FileOutcome:
    dropped = (
        workout.points_without_position_count,
        workout.points_without_time_count,
        workout.points_repeated_count,
    )
    status: Status = "read"
    if is_known:
        status = "duplicate"
    elif not workout.points:
        status = "no_time" if workout.points_without_time_count else "no_position"
    return FileOutcome(str(path), status, len(workout.points), sum(dropped))
