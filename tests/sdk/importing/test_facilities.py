"""The list of facilities: strict, bounded, and named errors that say where."""

import json
from typing import Any

import pytest
from places import ROOT

from tallystick.importing import FacilitiesInvalid, load_facilities

GYM: dict[str, Any] = {
    "id": "gym-1",
    "name": "A gym",
    "latitude": 40.5,
    "longitude": -74,
    "radius_m": 100,
    "time_zone": "America/New_York",
}


def listed(*facilities: dict[str, Any]) -> bytes:
    return json.dumps({"facilities": facilities}).encode()


def test_a_list_is_read_with_the_speed_of_people_on_foot() -> None:
    first, second = load_facilities(listed(GYM, GYM | {"id": "track-1", "speed_max_kmh": 60}))
    assert (first.id, first.speed_max_kmh, second.speed_max_kmh) == ("gym-1", 15, 60)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("id", ""),
        ("id", "gym 1"),
        ("name", ""),
        ("latitude", 90.1),
        ("latitude", "40.5"),
        ("longitude", -180.1),
        ("radius_m", 9),
        ("radius_m", 2001),
        ("radius_m", True),
        ("speed_max_kmh", 101),
        ("time_zone", "America/Gotham"),
        ("time_zone", "America"),
        ("time_zone", "../../etc/passwd"),
        ("colour", "red"),
    ],
)
def test_a_member_out_of_bounds_is_named(member: str, value: object) -> None:
    with pytest.raises(FacilitiesInvalid, match=rf"facilities\.0\.{member}"):
        load_facilities(listed(GYM | {member: value}))


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"[]", "not an object"),
        (b'{"facilities":[],"facilities":[]}', "not JSON"),
        (listed(), "at least 1"),
        (listed(GYM, GYM), "same id"),
        (listed(GYM).replace(b"40.5", b"NaN"), "not JSON"),
        (listed(GYM).replace(b"40.5", b"1e999"), "latitude"),
        (b" " * (8 * 1024 * 1024 + 1), "larger"),
    ],
)
def test_a_list_of_another_shape_is_refused(raw: bytes, problem: str) -> None:
    with pytest.raises(FacilitiesInvalid, match=problem):
        load_facilities(raw)


def test_the_example_in_the_documentation_loads() -> None:
    raw = (ROOT / "docs" / "examples" / "facilities.json").read_bytes()
    assert [each.id for each in load_facilities(raw)] == ["club-7", "velodrome-1"]
