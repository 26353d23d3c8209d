"""Finds visits in workouts: long enough stays in a facility's circle, at a speed its visitors have.

Pure: no clock, disk or network. It works on positions alone; the sport a file states is not believed. What comes out
holds no coordinate unless it is asked for.

How a stay is found, each step on its own below:

1. Fixes further apart than `gap_s_max` are separate legs: without a fix nobody shows that anyone was there.
2. A stay is an unbroken run of fixes inside the circle; an excursion of at most `stray_s_max` does not break it.
3. A stay of which half the time or more is faster than the facility's visitors is a drive, stops included.
4. Of any other stay, what is slow enough remains, and counts from `dwell_s_min` on.
5. Overlapping visits at one facility are one, however many devices recorded it.
"""

import hashlib
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

from tallystick.importing.facilities import Facility
from tallystick.importing.workouts import Point, Workout
from tallystick_ledger.encoding import length_prefixed, to_base64url

EVENT_TYPE = "visit.ended"
EVIDENCE = "geofence"
ASSURANCE = "device"
TRACK_KEPT_MAX = 500
"""Fixes kept of a visit where positions are asked for: about 15 KB of JSON, which a sealed payload holds."""

_EARTH_RADIUS_M = 6_371_008.8
_METRES_PER_DEGREE_MIN = 110_000  # of latitude; a little less than anywhere on earth, for a first coarse look
_KMH_PER_M_PER_S = 3.6

Track = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class GeofenceRule:
    """What makes fixes a visit.

    Attributes:
        dwell_s_min: the shortest stay that is a visit. Low, to drop who passes by: a program has its own, longer one.
        gap_s_max: how long may pass without a fix between two fixes inside.
        stray_s_max: how long fixes may say otherwise between two that agree, as reflected signals make them.
        fixes_min: the fewest fixes that show a stay.
        speed_window_s: the time over which a speed is taken, so that a single jump of a position is not a drive.
    """

    dwell_s_min: int = 300
    gap_s_max: int = 600
    stray_s_max: int = 120
    fixes_min: int = 3
    speed_window_s: int = 30


@dataclass(frozen=True, slots=True)
class FoundVisit:
    """A stay at a facility.

    Attributes:
        facility_id: the facility.
        started_at: its first fix, in the facility's zone, with the offset of that moment.
        ended_at: its last fix, likewise.
        time_zone: IANA name of that zone.
        sources: digests of the workouts that show it, sorted.
        track: seconds since `started_at`, latitude and longitude in millionths of a degree; empty unless asked for.
    """

    facility_id: str
    started_at: datetime
    ended_at: datetime
    time_zone: str
    sources: tuple[str, ...]
    track: Track = field(default=(), repr=False)

    @property
    def elapsed_s(self) -> int:
        """Seconds that passed, which a change of clocks in between does not change."""
        return _epoch_s(self.ended_at) - _epoch_s(self.started_at)


def find_visits(
    workouts: Iterable[Workout],
    facilities: Sequence[Facility],
    *,
    rule: GeofenceRule | None = None,
    with_positions: bool = False,
) -> tuple[FoundVisit, ...]:
    """Return the visits that workouts show at facilities, in order of their start, each once.

    Args:
        workouts: in any order; the same file twice, or one outing on two devices, changes nothing.
        facilities: the approved ones, with distinct ids.
        rule: what makes fixes a visit; the default rule if left out.
        with_positions: keep the fixes of each visit, for an app whose user wants them in the sealed payload.
    """
    used = rule or GeofenceRule()
    found: list[FoundVisit] = []
    for workout in workouts:
        legs = [_Leg.of(points, used) for points in _legs(workout.points, used)]
        for facility in facilities:
            for leg in legs:
                found += (
                    _visit(points, facility, workout.digest, with_positions=with_positions)
                    for points in _stays(leg, facility, used)
                )
    return merge_visits(found)


def merge_visits(visits: Iterable[FoundVisit]) -> tuple[FoundVisit, ...]:
    """Return the visits with those that overlap at one facility made one, in order of their start.

    The order given does not matter, and merging twice is merging once. Of several tracks the fullest is kept.
    """
    merged: list[FoundVisit] = []
    for visit in sorted(visits, key=lambda each: (each.facility_id, each.started_at, each.ended_at)):
        if merged and merged[-1].facility_id == visit.facility_id and visit.started_at <= merged[-1].ended_at:
            merged[-1] = _union(merged[-1], visit)
        else:
            merged.append(visit)
    return tuple(sorted(merged, key=lambda each: (each.started_at, each.facility_id)))


def visit_events(visits: Iterable[FoundVisit]) -> list[dict[str, object]]:
    """Return the event of each visit: its type and data, without a coordinate unless the visit carries a track."""
    events: list[dict[str, object]] = []
    for visit in visits:
        data: dict[str, object] = {
            "facility": visit.facility_id,
            "started_at": visit.started_at.isoformat(timespec="seconds"),
            "ended_at": visit.ended_at.isoformat(timespec="seconds"),
            "time_zone": visit.time_zone,
            "source": EVIDENCE,
            "assurance": ASSURANCE,
        }
        if visit.track:
            data["track"] = [list(fix) for fix in visit.track]
        events.append({"type": EVENT_TYPE, "data": data})
    return events


def visit_key(visit: FoundVisit, subject: str) -> str:
    """Return the idempotency key to record a visit under: the same visit of the same subject always has the same.

    A plain hash of guessable things, so it goes from the app to its own node and no further.

    Args:
        visit: the visit.
        subject: the node's own id of the person.
    """
    times = (str(_epoch_s(visit.started_at)), str(_epoch_s(visit.ended_at)))
    digest = hashlib.sha256(length_prefixed("tallystick/import/v1", visit.facility_id, *times, subject)).digest()
    return "import-" + to_base64url(digest)[:32]


@dataclass(frozen=True, slots=True, repr=False)
class _Leg:
    """Fixes without a long gap, and the speed in km/h around each."""

    points: Sequence[Point]
    speeds_kmh: Sequence[float]

    @classmethod
    def of(cls, points: Sequence[Point], rule: GeofenceRule) -> "_Leg":
        return cls(points, _speeds_kmh(points, rule.speed_window_s))


def _legs(points: Sequence[Point], rule: GeofenceRule) -> Iterator[Sequence[Point]]:
    first = 0
    for index, (earlier, later) in enumerate(pairwise(points), start=1):
        if later.at_s - earlier.at_s > rule.gap_s_max:
            yield points[first:index]
            first = index
    if points:
        yield points[first:]


def _speeds_kmh(points: Sequence[Point], window_s: int) -> list[float]:
    """Return the speed around each fix: how far apart two fixes are that enclose about `window_s`, over their time.

    Not the length of the path between them: the noise of positions at rest adds up along a path, and looks like speed.
    """
    times = [point.at_s for point in points]
    speeds: list[float] = []
    for point in points:
        earlier = points[max(0, bisect_right(times, point.at_s - window_s / 2) - 1)]
        later = points[min(len(points) - 1, bisect_left(times, point.at_s + window_s / 2))]
        elapsed_s = later.at_s - earlier.at_s
        moved_m = _distance_m(earlier, later.latitude, later.longitude)
        speeds.append(moved_m / elapsed_s * _KMH_PER_M_PER_S if elapsed_s else 0.0)
    return speeds


def _stays(leg: _Leg, facility: Facility, rule: GeofenceRule) -> Iterator[list[Point]]:
    """Yield the fixes of each stay that counts: inside the circle and slow enough."""
    is_inside = [_is_inside(point, facility) for point in leg.points]
    is_slow = [speed <= facility.speed_max_kmh for speed in leg.speeds_kmh]
    for run in _runs(leg.points, is_inside, rule):
        if _is_drive(leg.points, is_slow, run):
            continue
        is_visiting = [is_inside[at] and is_slow[at] for at in run]
        points = leg.points[run.start : run.stop]
        for part in _runs(points, is_visiting, rule):
            fixes = [points[at] for at in part if is_visiting[at]]
            if len(fixes) >= rule.fixes_min and fixes[-1].at_s - fixes[0].at_s >= rule.dwell_s_min:
                yield fixes


def _runs(points: Sequence[Point], holds: Sequence[bool], rule: GeofenceRule) -> list[range]:
    """Return each stretch, first to last, over which something holds but for short exceptions."""
    runs: list[range] = []
    for at, point in enumerate(points):
        if not holds[at]:
            continue
        if runs and (runs[-1].stop == at or point.at_s - points[runs[-1].stop - 1].at_s <= rule.stray_s_max):
            runs[-1] = range(runs[-1].start, at + 1)
        else:
            runs.append(range(at, at + 1))
    return runs


def _is_drive(points: Sequence[Point], is_slow: Sequence[bool], run: range) -> bool:
    steps = [(points[b].at_s - points[a].at_s, is_slow[a] and is_slow[b]) for a, b in pairwise(run)]
    return 2 * sum(step_s for step_s, is_on_foot in steps if not is_on_foot) >= max(1, sum(s for s, _ in steps))


def _is_inside(point: Point, facility: Facility) -> bool:
    if abs(point.latitude - facility.latitude) * _METRES_PER_DEGREE_MIN > facility.radius_m:
        return False
    return _distance_m(point, facility.latitude, facility.longitude) <= facility.radius_m


def _distance_m(point: Point, latitude: float, longitude: float) -> float:
    """Return metres along the great circle (haversine, mean earth radius: within 0.6% of WGS 84)."""
    north, other_north = math.radians(point.latitude), math.radians(latitude)
    east = math.radians(longitude - point.longitude)
    half = math.sin((other_north - north) / 2) ** 2 + math.cos(north) * math.cos(other_north) * math.sin(east / 2) ** 2
    return 2 * _EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, half)))


def _visit(points: Sequence[Point], facility: Facility, digest: str, *, with_positions: bool) -> FoundVisit:
    started_s = points[0].at_s
    every = math.ceil(len(points) / TRACK_KEPT_MAX)
    track = tuple((p.at_s - started_s, _micro(p.latitude), _micro(p.longitude)) for p in points[::every])
    return FoundVisit(
        facility_id=facility.id,
        started_at=_local(started_s, facility.time_zone),
        ended_at=_local(points[-1].at_s, facility.time_zone),
        time_zone=facility.time_zone,
        sources=(digest,),
        track=track if with_positions else (),
    )


def _union(one: FoundVisit, other: FoundVisit) -> FoundVisit:
    started_at, ended_at = min(one.started_at, other.started_at), max(one.ended_at, other.ended_at)
    _, track = max((len(track), track) for track in (_track_from(one, started_at), _track_from(other, started_at)))
    return FoundVisit(
        facility_id=one.facility_id,
        started_at=started_at,
        ended_at=ended_at,
        time_zone=one.time_zone,
        sources=tuple(sorted({*one.sources, *other.sources})),
        track=track,
    )


def _track_from(visit: FoundVisit, started_at: datetime) -> Track:
    later_s = _epoch_s(visit.started_at) - _epoch_s(started_at)
    return tuple((offset_s + later_s, latitude, longitude) for offset_s, latitude, longitude in visit.track)


def _local(at_s: int, zone: str) -> datetime:
    """Return a moment in a zone with a fixed offset: two times of one `ZoneInfo` subtract as wall clocks do."""
    there = datetime.fromtimestamp(at_s, ZoneInfo(zone))
    return there.replace(tzinfo=timezone(there.utcoffset() or timedelta(0)), fold=0)


def _epoch_s(moment: datetime) -> int:
    return int(moment.timestamp())


def _micro(degrees: float) -> int:
    return round(degrees * 1_000_000)
