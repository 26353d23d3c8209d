"""Made-up outings for the tests of the import: moves in metres around one spot, as points, GPX, TCX and FIT."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from garmin_fit_sdk import Encoder

from tallystick.importing import Facility, Point, Workout

LATITUDE, LONGITUDE = 40.7127281, -74.0060152
START_S = 1_804_291_200  # 2027-03-06T00:00:00Z
METRES_PER_DEGREE = 111_195

Move = tuple[int, float]
"""Seconds since the start, and metres east of the spot."""


def gym(*, radius_m: int = 100, speed_max_kmh: int = 15, time_zone: str = "America/New_York") -> Facility:
    return Facility(
        id="gym-1",
        name="A gym",
        latitude=LATITUDE,
        longitude=LONGITUDE,
        radius_m=radius_m,
        time_zone=time_zone,
        speed_max_kmh=speed_max_kmh,
    )


def stay(start_s: int, end_s: int, *, east_m: float = 0, every_s: int = 10) -> list[Move]:
    return [(at_s, east_m) for at_s in range(start_s, end_s + 1, every_s)]


def move(start_s: int, end_s: int, *, from_m: float, kmh: float, every_s: int = 5) -> list[Move]:
    return [(at_s, from_m + (at_s - start_s) * kmh / 3.6) for at_s in range(start_s, end_s + 1, every_s)]


def point(at_s: int, east_m: float) -> Point:
    east = east_m / METRES_PER_DEGREE / math.cos(math.radians(LATITUDE))
    return Point(START_S + at_s, LATITUDE, LONGITUDE + east)


def outing(moves: Iterable[Move], *, digest: str = "a" * 64, later_s: int = 0) -> Workout:
    points = tuple(point(at_s + later_s, east_m) for at_s, east_m in moves)
    return Workout(source="gpx", sport=None, points=points, digest=digest)


def stamp(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def gpx(*segments: Iterable[str], before: str = "") -> str:
    body = "".join(f"<trkseg>{''.join(points)}</trkseg>" for points in segments)
    return f'{before}<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1"><trk>{body}</trk></gpx>'


def trkpt(at: Point, time: str | None = "") -> str:
    """One GPX point; `time` replaces its own time, None leaves it out."""
    stamped = "" if time is None else f"<time>{time or stamp(at.at_s)}</time>"
    return f'<trkpt lat="{at.latitude}" lon="{at.longitude}">{stamped}</trkpt>'


def tcx(points: Iterable[Point], *, around: str = "Activities", each: str = "Activity") -> str:
    body = "".join(
        f"<Trackpoint><Time>{stamp(p.at_s)}</Time><Position><LatitudeDegrees>{p.latitude}</LatitudeDegrees>"
        f"<LongitudeDegrees>{p.longitude}</LongitudeDegrees></Position></Trackpoint>"
        for p in points
    )
    return (
        '<TrainingCenterDatabase xmlns="http://www.garmin.com/xmlschemas/TrainingCenterDatabase/v2">'
        f'<{around}><{each} Sport="Running"><Lap><Track>{body}</Track></Lap></{each}></{around}>'
        "</TrainingCenterDatabase>"
    )


def fit(points: Sequence[Point], *, kind: str = "activity") -> bytes:
    encoder = Encoder()
    encoder.write_mesg({"mesg_num": 0, "type": kind})
    for each in points:
        encoder.write_mesg(
            {
                "mesg_num": 20,
                "timestamp": datetime.fromtimestamp(each.at_s, UTC),
                "position_lat": round(each.latitude * 2**31 / 180),
                "position_long": round(each.longitude * 2**31 / 180),
            }
        )
    return bytes(encoder.close())


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
