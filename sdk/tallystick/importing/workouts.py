"""Reads one workout file, FIT, GPX or TCX, into points ordered by time.

The file's content decides its kind; its suffix only says what a damaged file was meant to be. Bounds come first, then
the guard against hostile XML (`xml_guard`), then the libraries of the extra `[import]` (`readers`), then the one rule
about odd times here. Coordinates are left out of every `repr`, so that no log line or traceback carries them.
"""

import hashlib
import stat
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from tallystick.importing.errors import WorkoutUnreadable
from tallystick.importing.readers import POINTS_MAX, RawPoint, Recording, read_fit, read_gpx, read_tcx
from tallystick.importing.xml_guard import require_harmless_xml, xml_text

Kind = Literal["fit", "gpx", "tcx"]

SUFFIXES = (".fit", ".gpx", ".tcx")
FILE_SIZE_BYTES_MAX = 64 * 1024 * 1024

CLOCK_STEP_S_MAX = 10
"""How far a time may go back, as when a device sets its clock at the first satellite fix."""

AT_S_MIN = 315_964_800
"""1980-01-06, when GPS time begins: an earlier time is a clock that was never set."""

AT_S_MAX = 4_102_444_800
"""2100-01-01."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where a device was, when.

    Attributes:
        at_s: whole seconds since 1970-01-01 UTC, rounded down.
        latitude: degrees north, WGS 84.
        longitude: degrees east, WGS 84.
    """

    at_s: int
    latitude: float = field(repr=False)
    longitude: float = field(repr=False)


@dataclass(frozen=True, slots=True)
class Workout:
    """What one file says.

    Attributes:
        source: the kind of file.
        sport: the sport as the file states it, where it states just one.
        points: each strictly later than the one before.
        digest: SHA-256 of the file in hexadecimal: the same file twice is one.
        points_without_position_count: points left out, since they name no place on earth.
        points_without_time_count: points left out, since they name a place but no time.
        points_repeated_count: points left out, since they are no later than the one before.
    """

    source: Kind
    sport: str | None = field(repr=False)
    points: tuple[Point, ...] = field(repr=False)
    digest: str
    points_without_position_count: int = 0
    points_without_time_count: int = 0
    points_repeated_count: int = 0


def read_workout(path: Path) -> Workout:
    """Return the workout in a file.

    Raises:
        WorkoutUnreadable: the file is missing, over a bound, of another kind, damaged, or contradicts itself.
        ExtraMissing: the libraries that read workouts are not installed.
    """
    raw = _read_bounded(path)
    digest = hashlib.sha256(raw).hexdigest()
    suffix = path.suffix.lower()
    if raw[8:12] == b".FIT":
        return _workout("fit", read_fit(raw), digest)
    if suffix == ".fit":
        raise WorkoutUnreadable("fit_damaged")
    if suffix not in SUFFIXES and not raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise WorkoutUnreadable("unknown_kind")
    text = xml_text(raw)
    root = require_harmless_xml(text)
    if root == "gpx":
        return _workout("gpx", read_gpx(text), digest)
    if root == "TrainingCenterDatabase":
        return _workout("tcx", read_tcx(text), digest)
    raise WorkoutUnreadable("unknown_kind")


def _read_bounded(path: Path) -> bytes:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise WorkoutUnreadable("not_a_file")
        if found.st_size > FILE_SIZE_BYTES_MAX:
            raise WorkoutUnreadable("too_large")
        with path.open("rb") as file:
            raw = file.read(FILE_SIZE_BYTES_MAX + 1)
    except (OSError, ValueError):
        raise WorkoutUnreadable("missing") from None
    if len(raw) > FILE_SIZE_BYTES_MAX:  # it grew since we asked
        raise WorkoutUnreadable("too_large")
    return raw


def _workout(source: Kind, recording: Recording, digest: str) -> Workout:
    placed = [[point for point in segment if _on_earth(point)] for segment in recording.segments]
    timed = [[point for point in map(_timed, segment) if point] for segment in placed]
    points = _in_order([segment for segment in timed if segment])
    recorded_count, placed_count, timed_count = (
        sum(map(len, segments)) for segments in (recording.segments, placed, timed)
    )
    if recorded_count > POINTS_MAX:
        raise WorkoutUnreadable("too_many_points")
    return Workout(
        source=source,
        sport=recording.sport,
        points=points,
        digest=digest,
        points_without_position_count=recorded_count - placed_count,
        points_without_time_count=placed_count - timed_count,
        points_repeated_count=timed_count - len(points),
    )


def _on_earth(point: RawPoint) -> bool:
    if point.latitude is None or point.longitude is None:
        return False
    return -90 <= point.latitude <= 90 and -180 <= point.longitude <= 180  # false for a NaN too


def _timed(point: RawPoint) -> Point | None:
    if point.at_s is None or not AT_S_MIN <= point.at_s < AT_S_MAX:
        return None
    assert point.latitude is not None, "only placed points come here"
    assert point.longitude is not None, "only placed points come here"
    return Point(point.at_s, point.latitude, point.longitude)


def _in_order(segments: list[list[Point]]) -> tuple[Point, ...]:
    """Return the points with time running forward, or refuse the file.

    Segments may stand in any order, as when tracks were joined; within that order time may stand still or step back a
    little, and those points are left out. A longer way back is refused rather than sorted: sorting would weave two
    stretches of time together and could show a stay that nobody made, and no rule can tell which of them is true.
    """
    ordered: list[Point] = []
    by_start = sorted(segments, key=_started_s)
    for point in chain.from_iterable(by_start):
        if not ordered or point.at_s > ordered[-1].at_s:
            ordered.append(point)
        elif ordered[-1].at_s - point.at_s > CLOCK_STEP_S_MAX:
            raise WorkoutUnreadable("times_go_back")
    return tuple(ordered)


def _started_s(segment: list[Point]) -> int:
    return segment[0].at_s
