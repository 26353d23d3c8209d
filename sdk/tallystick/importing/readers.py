"""Hands a file's bytes or text to the library that knows its format, and takes times and places back.

Only what was recorded is taken: GPX tracks, but not routes and waypoints; TCX activities, but not courses; FIT files
of type activity. Whatever a library raises means that this file cannot be read; its message is dropped, for it may
quote the file.

Source: FIT protocol (semicircles, epoch, file types); GPX 1.1 schema (times are UTC); TCX v2 schema.
"""

import contextlib
import io
import logging
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from tallystick.importing.errors import WorkoutUnreadable
from tallystick.importing.extra import extra_module

POINTS_MAX = 1_000_000
SPORT_LENGTH_MAX = 64

_FIT_MESSAGES_MAX = 4 * POINTS_MAX
_FIT_EPOCH_S = 631_065_600  # 1989-12-31T00:00:00Z
_FIT_DATE_TIME_MIN = 0x10000000  # a lower date_time counts from when the device was switched on
_DEGREES_PER_SEMICIRCLE = 180 / 2**31


@dataclass(frozen=True, slots=True, repr=False)
class RawPoint:
    """A point as its file has it: the time in seconds since 1970-01-01 UTC, degrees north and east; any may lack."""

    at_s: int | None
    latitude: float | None
    longitude: float | None


@dataclass(frozen=True, slots=True, repr=False)
class Recording:
    """The points of one file in its own order and segments, and the sport if it states just one."""

    sport: str | None
    segments: list[list[RawPoint]]


def read_fit(raw: bytes) -> Recording:
    """Return what a FIT activity recorded.

    Raises:
        WorkoutUnreadable: cut short, a wrong checksum, over a bound, or not an activity.
        ExtraMissing: the libraries that read workouts are not installed.
    """
    sdk = extra_module("garmin_fit_sdk")
    with _refusing("fit_damaged"):
        # `read` checks the checksum of every file in a chain. `check_integrity` looks at the first alone, and refuses a
        # header checksum of zero, which the protocol allows.
        counter = _MessageCounter()
        messages, errors = sdk.Decoder(sdk.Stream.from_byte_array(bytearray(raw))).read(
            expand_components=False,
            merge_heart_rates=False,
            convert_datetimes_to_dates=False,
            mesg_listener=counter,
        )
    if counter.is_over:
        raise WorkoutUnreadable("too_many_points")
    if errors:
        raise WorkoutUnreadable("fit_damaged")
    content = cast("dict[str, list[dict[str, object]]]", messages)
    if {message.get("type") for message in content.get("file_id_mesgs", [])} != {"activity"}:
        raise WorkoutUnreadable("not_an_activity")
    records = content.get("record_mesgs", [])
    return Recording(
        sport=_only_sport(message.get("sport") for message in content.get("session_mesgs", [])),
        segments=[[_from_record(message) for message in records]],
    )


def read_gpx(text: str) -> Recording:
    """Return what the tracks of a GPX document recorded; the text has passed `require_harmless_xml`.

    Raises:
        WorkoutUnreadable: gpxpy does not take it.
        ExtraMissing: the libraries that read workouts are not installed.
    """
    gpxpy = extra_module("gpxpy")
    logging.getLogger("gpxpy").setLevel(logging.WARNING)  # at DEBUG it logs a whole document it cannot parse
    with _refusing("content_invalid"):
        tracks = cast("list[_GpxTrack]", gpxpy.parse(text).tracks)
        return Recording(
            sport=_only_sport(track.type for track in tracks),
            segments=[[_from_stamped(p) for p in segment.points] for track in tracks for segment in track.segments],
        )


def read_tcx(text: str) -> Recording:
    """Return what the activities of a TCX document recorded; the text has passed `require_harmless_xml`.

    Raises:
        WorkoutUnreadable: tcxreader does not take it.
        ExtraMissing: the libraries that read workouts are not installed.
    """
    tcxreader = extra_module("tcxreader.tcxreader")
    # tcxreader prints what it stumbles over; an import's output is the caller's.
    with _refusing("content_invalid"), contextlib.redirect_stdout(io.StringIO()):
        exercise = cast("_TcxExercise", tcxreader.TCXReader().read(io.StringIO(text), only_gps=False))
        return Recording(
            sport=_only_sport([exercise.activity_type]),
            segments=[[_from_stamped(point) for point in exercise.trackpoints]],
        )


@contextlib.contextmanager
def _refusing(reason: str) -> Generator[None, None, None]:
    try:
        yield
    except WorkoutUnreadable:
        raise
    except Exception:  # noqa: BLE001  # libraries raise anything on a bad file; each means it cannot be read
        raise WorkoutUnreadable(reason) from None


class _StampedPoint(Protocol):
    """A point of gpxpy or tcxreader."""

    time: datetime | None
    latitude: float | None
    longitude: float | None


class _GpxSegment(Protocol):
    points: list[_StampedPoint]


class _GpxTrack(Protocol):
    type: str | None
    segments: list[_GpxSegment]


class _TcxExercise(Protocol):
    activity_type: str | None
    trackpoints: list[_StampedPoint]


class _MessageCounter:
    """Stops the FIT decoder, which keeps every message: a byte of file can become a dictionary."""

    def __init__(self) -> None:
        self.is_over = False
        self._count = 0

    def __call__(self, _number: int, _message: dict[str, Any]) -> None:
        self._count += 1
        if self._count > _FIT_MESSAGES_MAX:
            self.is_over = True
            raise WorkoutUnreadable("too_many_points")


def _from_record(message: dict[str, object]) -> RawPoint:
    at, latitude, longitude = (message.get(name) for name in ("timestamp", "position_lat", "position_long"))
    return RawPoint(
        at_s=at + _FIT_EPOCH_S if isinstance(at, int) and at >= _FIT_DATE_TIME_MIN else None,
        latitude=latitude * _DEGREES_PER_SEMICIRCLE if isinstance(latitude, int) else None,
        longitude=longitude * _DEGREES_PER_SEMICIRCLE if isinstance(longitude, int) else None,
    )


def _from_stamped(point: _StampedPoint) -> RawPoint:
    return RawPoint(_epoch_s(point.time), point.latitude, point.longitude)


def _epoch_s(time: datetime | None) -> int | None:
    if time is None:
        return None
    try:
        zoned = time.replace(tzinfo=UTC) if time.tzinfo is None else time
        return int(zoned.timestamp() // 1)
    except (ValueError, OverflowError):  # an offset of a day or more
        return None


def _only_sport(stated: Iterable[object]) -> str | None:
    sports = {sport for sport in stated if isinstance(sport, str) and sport}
    return sports.pop()[:SPORT_LENGTH_MAX] if len(sports) == 1 else None
