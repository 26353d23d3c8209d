"""A whole import, of made-up files and of real ones: each file has an outcome, one outing is one visit."""

import json
import re
from pathlib import Path

import pytest
from places import shared
from sdk.importing.outings import fit, gpx, gym, outing, stay, tcx, trkpt, written

from tallystick.importing import Facility, ImportReport, import_files, read_workout, visit_events
from tallystick.importing import report as report_module
from tallystick_ledger.errors import BadInput

POINTS = outing(stay(0, 1800)).points


def outcomes(report: ImportReport) -> dict[str, str]:
    return {Path(file.name).name: file.reason or file.status for file in report.files}


def test_a_folder_of_odd_files_is_reported_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    written(tmp_path / "deeper" / "watch.fit", fit(POINTS))
    written(tmp_path / "export.tcx", tcx(POINTS))
    written(tmp_path / "same.GPX", gpx([trkpt(each) for each in POINTS]))
    written(tmp_path / "same-again.gpx", gpx([trkpt(each) for each in POINTS]))
    written(tmp_path / "untimed.gpx", gpx([trkpt(each, None) for each in POINTS]))
    written(tmp_path / "empty.gpx", gpx())
    written(tmp_path / "cut.fit", fit(POINTS)[:-9])
    written(tmp_path / "notes.txt", "not looked at")
    named = written(tmp_path / "list.txt", "named by the user")
    report = import_files([tmp_path, named, tmp_path / "gone.gpx"], [gym()])
    assert outcomes(report) == {
        "cut.fit": "fit_damaged",
        "empty.gpx": "no_position",
        "export.tcx": "read",
        "gone.gpx": "missing",
        "list.txt": "unknown_kind",
        "same-again.gpx": "read",
        "same.GPX": "duplicate",
        "untimed.gpx": "no_time",
        "watch.fit": "read",
    }
    assert report.passed_over_count == 2
    (visit,) = report.visits
    assert (visit.elapsed_s, len(visit.sources)) == (1800, 3)


def test_importing_twice_gives_the_same(tmp_path: Path) -> None:
    path = written(tmp_path / "watch.fit", fit(POINTS))
    assert import_files([path], [gym()]) == import_files([path, path], [gym()])


def test_more_files_than_the_bound_are_refused_before_any_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_module, "FILES_MAX", 1)
    with pytest.raises(BadInput, match="at most 1 files"):
        import_files([tmp_path / "a.gpx", tmp_path / "b.gpx"], [gym()])


def place(name: str, latitude: float, longitude: float, *, radius_m: int = 2000, speed_max_kmh: int = 15) -> Facility:
    return Facility(
        id=name,
        name=name,
        latitude=latitude,
        longitude=longitude,
        radius_m=radius_m,
        time_zone="Europe/Ljubljana",
        speed_max_kmh=speed_max_kmh,
    )


def middle_of(path: Path, *, radius_m: int = 2000, speed_max_kmh: int = 15) -> Facility:
    points = read_workout(path).points
    middle = points[len(points) // 2]
    return place(path.stem, middle.latitude, middle.longitude, radius_m=radius_m, speed_max_kmh=speed_max_kmh)


def test_every_real_file_has_an_outcome_and_none_tells_a_place() -> None:
    folders = [shared("data/workouts_sweat"), shared("data/gpx_gpxpy")]
    files = sorted(path for folder in folders for path in folder.iterdir())
    spots = [middle_of(path) for path in files if outcomes(import_files([path], []))[path.name] == "read"]
    report = import_files(files, spots)
    assert len(report.files) == len(files)
    refused = {name: told for name, told in outcomes(report).items() if told not in {"read", "no_position", "no_time"}}
    assert refused == {
        "LICENSE": "unknown_kind",
        "LICENSE.txt": "unknown_kind",
        "NOTICE.txt": "unknown_kind",
        "first_and_last_elevation.gpx": "times_go_back",
    }
    assert report.visits
    told = json.dumps(visit_events(report.visits)) + repr(report.visits)
    assert not re.search(r"\d\.\d{3}", told)
    assert "latitude" not in told
    for spot in spots:
        assert str(spot.latitude)[:7] not in told


def test_one_ride_on_two_devices_is_one_visit_where_cyclists_go_and_none_elsewhere() -> None:
    ride, copy = sorted(shared("data/workouts_sweat").glob("4801048867*"))
    report = import_files([ride, copy], [middle_of(ride, speed_max_kmh=60)])
    (visit,) = report.visits
    assert len(visit.sources) == 2
    assert import_files([ride], [middle_of(ride, speed_max_kmh=60)]).visits[0].elapsed_s == visit.elapsed_s
    assert import_files([ride, copy], [middle_of(ride)]).visits == ()


@pytest.mark.parametrize("radius_m", [50, 200, 500, 1000, 2000])
def test_a_drive_is_no_visit_wherever_on_its_way_the_facility_stands(radius_m: int) -> None:
    path = shared("data/gpx_gpxpy/around-visnjan-with-car.gpx")
    points = read_workout(path).points
    spots = [place(f"spot-{at}", p.latitude, p.longitude, radius_m=radius_m) for at, p in enumerate(points)]
    centre = place("centre", 45.2767, 13.7170, radius_m=radius_m)
    assert import_files([path], [*spots, centre]).visits == ()


def test_a_walk_is_a_visit_and_its_long_rests_without_a_fix_are_not() -> None:
    path = shared("data/gpx_gpxpy/korita-zbevnica.gpx")
    visits = import_files([path], [middle_of(path)]).visits
    assert [visit.elapsed_s for visit in visits] == [4117, 1220, 4281]


@pytest.mark.parametrize("name", ["6449921903_ACTIVITY.fit", "6471559601_ACTIVITY.fit"])
def test_a_workout_indoors_has_no_position(name: str) -> None:
    path = shared(f"data/workouts_sweat/{name}")
    report = import_files([path], [place("anywhere", 0, 0)])
    assert (outcomes(report), report.visits) == ({name: "no_position"}, ())


def test_a_track_without_times_is_no_visit() -> None:
    path = shared("data/gpx_gpxpy/cerknicko-without-times.gpx")
    assert import_files([path], [middle_of(path)]).visits == ()
