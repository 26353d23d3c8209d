"""Visits found in real workout files: real places, times of day and durations, on days of the story's month.

The files are some years old, and a gym does not take visits of months that have closed; so the days are moved, and
whoever watches is told. Positions are read here, on the importing side, and go no further.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

from tallystick.importing import Facility, FoundVisit, import_files, read_workout
from tallystick_node.demo.errors import DemoNotRun


@dataclass(frozen=True, slots=True)
class RealFile:
    """A file of the data folder, and where a place is put on its way.

    Attributes:
        path: below the data folder.
        place: id of the facility in the middle of its way.
        moved_to: the day of the story that its first day becomes.
    """

    path: str
    place: str
    title: str
    time_zone: str
    moved_to: date
    radius_m: int = 1000
    speed_max_kmh: int = 15


FILES = (
    RealFile("gpx_gpxpy/korita-zbevnica.gpx", "trail-zbevnica", "a walk", "Europe/Zagreb", date(2027, 5, 8)),
    RealFile("gpx_gpxpy/cerknicko-jezero.gpx", "trail-jezero", "a walk", "Europe/Ljubljana", date(2027, 5, 22)),
    RealFile(
        "workouts_sweat/4801048867.fit",
        "track-losser",
        "a bicycle ride",
        "Europe/Amsterdam",
        date(2027, 5, 30),
        radius_m=2000,
        speed_max_kmh=60,
    ),
)


@dataclass(frozen=True, slots=True)
class RealWorkout:
    """What a file holds for the story.

    Attributes:
        file: which file.
        recorded_on: its real day.
        points_count: positions read.
        visits: on the story's day.
        positions: some of its coordinates, as text, to be looked for where they must not be.
    """

    file: RealFile
    recorded_on: date
    points_count: int
    visits: tuple[FoundVisit, ...]
    positions: tuple[str, ...]


def find_real_workouts(data: Path) -> list[RealWorkout]:
    """Return what each known file below `data` holds, those that are there.

    Raises:
        DemoNotRun: none of them shows a visit.
        ExtraMissing: the libraries that read workouts are not installed.
    """
    found = [_found(data / file.path, file) for file in FILES if (data / file.path).is_file()]
    if not any(each.visits for each in found):
        raise DemoNotRun(
            "The data folder holds none of the workout files that the demo knows.",
            remedy=f"Give a folder with {FILES[0].path}, or leave --data out.",
        )
    return found


def _found(path: Path, file: RealFile) -> RealWorkout:
    points = read_workout(path).points
    if not points:
        raise DemoNotRun(f"{file.path} holds no position.", remedy="Compare the file with the one it was copied from.")
    middle = points[len(points) // 2]
    place = Facility(
        id=file.place,
        name=file.title,
        latitude=middle.latitude,
        longitude=middle.longitude,
        radius_m=file.radius_m,
        time_zone=file.time_zone,
        speed_max_kmh=file.speed_max_kmh,
    )
    visits = import_files([path], [place]).visits
    recorded_on = datetime.fromtimestamp(points[0].at_s, ZoneInfo(file.time_zone)).date()
    positions = [str(each) for point in (points[0], middle, points[-1]) for each in (point.latitude, point.longitude)]
    moved = _moved(visits, file.moved_to - recorded_on)
    return RealWorkout(file, recorded_on, len(points), moved, tuple(positions))


def _moved(visits: Sequence[FoundVisit], by: timedelta) -> tuple[FoundVisit, ...]:
    def there(moment: datetime, zone: str) -> datetime:
        local = (moment.replace(tzinfo=None) + by).replace(tzinfo=ZoneInfo(zone))
        return local.replace(tzinfo=timezone(local.utcoffset() or timedelta()))

    return tuple(
        replace(each, started_at=there(each.started_at, each.time_zone), ended_at=there(each.ended_at, each.time_zone))
        for each in visits
    )
