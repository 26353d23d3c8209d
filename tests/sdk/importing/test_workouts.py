"""Reading workout files: three formats, one shape; what is odd is counted or refused, what is hostile never parsed."""

import sys
from pathlib import Path

import pytest
from garmin_fit_sdk import CrcCalculator
from sdk.importing.outings import START_S, fit, gpx, outing, point, stay, tcx, trkpt, written

from tallystick.importing import ExtraMissing, WorkoutUnreadable, read_workout
from tallystick.importing.workouts import FILE_SIZE_BYTES_MAX

POINTS = outing(stay(0, 60)).points
TRKPTS = [trkpt(each) for each in POINTS]


def refusal(path: Path) -> str:
    with pytest.raises(WorkoutUnreadable) as caught:
        read_workout(path)
    assert path.name not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value.reason


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.fit", fit(POINTS)), ("a.gpx", gpx(TRKPTS)), ("a.TCX", tcx(POINTS)), ("content-decides.fit.bak", fit(POINTS))],
)
def test_three_formats_say_the_same(tmp_path: Path, name: str, content: str | bytes) -> None:
    read = read_workout(written(tmp_path / name, content)).points
    assert [each.at_s for each in read] == [each.at_s for each in POINTS]
    for each, meant in zip(read, POINTS, strict=True):
        assert each.latitude == pytest.approx(meant.latitude, abs=1e-6)
        assert each.longitude == pytest.approx(meant.longitude, abs=1e-6)


def test_no_repr_holds_a_coordinate(tmp_path: Path) -> None:
    workout = read_workout(written(tmp_path / "a.gpx", gpx(TRKPTS)))
    assert "40.7" not in repr(workout) + repr(workout.points[0])


def test_a_time_without_a_zone_is_utc_and_one_with_a_zone_is_not(tmp_path: Path) -> None:
    times = ["2027-03-06T00:00:00", "2027-03-06T01:00:01+01:00", "2027-03-06T00:00:02.9Z"]
    path = written(tmp_path / "a.gpx", gpx([trkpt(POINTS[0], time) for time in times]))
    assert [each.at_s - START_S for each in read_workout(path).points] == [0, 1, 2]


def test_points_without_time_or_place_are_left_out_and_counted(tmp_path: Path) -> None:
    odd = [
        trkpt(POINTS[0], None),
        trkpt(POINTS[0], "yesterday"),
        trkpt(POINTS[0], "1901-12-13T20:45:52Z"),
        trkpt(POINTS[0], "2027-03-06T00:00:00+99:59"),
        '<trkpt lat="nan" lon="7"><time>2027-03-06T00:00:00Z</time></trkpt>',
        '<trkpt lat="7" lon="181"><time>2027-03-06T00:00:00Z</time></trkpt>',
    ]
    workout = read_workout(written(tmp_path / "a.gpx", gpx([*odd, *TRKPTS])))
    assert (workout.points_without_time_count, workout.points_without_position_count) == (4, 2)
    assert len(workout.points) == len(POINTS)


def test_a_clock_set_back_a_little_drops_points_and_a_clock_set_back_far_the_file(tmp_path: Path) -> None:
    little = [trkpt(point(at_s, 0)) for at_s in (0, 10, 10, 0, 5, 20)]
    workout = read_workout(written(tmp_path / "a.gpx", gpx(little)))
    assert [each.at_s - START_S for each in workout.points] == [0, 10, 20]
    assert workout.points_repeated_count == 3
    far = [trkpt(point(at_s, 0)) for at_s in (0, 11, 0, 20)]
    assert refusal(written(tmp_path / "b.gpx", gpx(far))) == "times_go_back"


def test_segments_may_stand_in_any_order_but_not_over_each_other(tmp_path: Path) -> None:
    first, second = ([trkpt(point(at_s, 0)) for at_s in times] for times in ((0, 60), (100, 160)))
    assert len(read_workout(written(tmp_path / "a.gpx", gpx(second, [], first))).points) == 4
    over = [trkpt(point(at_s, 0)) for at_s in (30, 90)]
    assert refusal(written(tmp_path / "b.gpx", gpx(first, over))) == "times_go_back"


def test_a_plan_is_not_a_recording(tmp_path: Path) -> None:
    route = gpx().replace("<trk></trk>", f"<rte>{''.join(TRKPTS)}</rte>").replace("trkpt", "rtept")
    assert read_workout(written(tmp_path / "a.gpx", route)).points == ()
    assert read_workout(written(tmp_path / "a.tcx", tcx(POINTS, around="Courses", each="Course"))).points == ()
    assert refusal(written(tmp_path / "a.fit", fit(POINTS, kind="course"))) == "not_an_activity"


def test_a_fit_file_cut_short_or_changed_is_refused(tmp_path: Path) -> None:
    whole = fit(POINTS)
    assert refusal(written(tmp_path / "a.fit", whole[:-20])) == "fit_damaged"
    assert refusal(written(tmp_path / "b.fit", whole[:30] + bytes([whole[30] ^ 1]) + whole[31:])) == "fit_damaged"
    assert refusal(written(tmp_path / "c.fit", whole + whole[:-20])) == "fit_damaged"  # a second file in it, cut
    assert refusal(written(tmp_path / "d.fit", b"")) == "fit_damaged"


def test_a_fit_header_may_go_without_a_checksum_of_its_own(tmp_path: Path) -> None:
    whole = fit(POINTS)
    bare = whole[:12] + bytes(2) + whole[14:-2]
    checksum = CrcCalculator.calculate_crc(bare, 0, len(bare))
    path = written(tmp_path / "a.fit", bare + checksum.to_bytes(2, "little"))
    assert len(read_workout(path).points) == len(POINTS)


LAUGHS = '<!DOCTYPE gpx [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
HIDDEN = f"""<!-- - xmlns='q'-> {LAUGHS}<?x -->?>"""
"""A comment, until gpxpy cuts ` xmlns='q'` out of it: then it ends at once, and the rest is a document type."""


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (LAUGHS, "xml_dtd"),
        ('<!DOCTYPE gpx SYSTEM "file:///etc/passwd">', "xml_dtd"),
        (HIDDEN, "xml_dtd"),
        (f"<!--{' xmlns' * 101}-->", "content_invalid"),
        ("<b>", "xml_malformed"),
    ],
)
def test_hostile_xml_never_reaches_a_library(tmp_path: Path, before: str, reason: str) -> None:
    assert refusal(written(tmp_path / "a.gpx", gpx(TRKPTS, before=before))) == reason
    assert refusal(written(tmp_path / "a.tcx", before + tcx(POINTS))) == reason


@pytest.mark.parametrize("levels", [64, 300_000])
def test_xml_that_would_overrun_the_stack_is_refused(tmp_path: Path, levels: int) -> None:
    deep = "<a>" * levels + "</a>" * levels
    path = written(tmp_path / "a.gpx", gpx().replace("<trk>", f"<extensions>{deep}</extensions><trk>"))
    assert refusal(path) == "xml_too_deep"


def test_text_in_another_encoding_is_read_if_it_says_so(tmp_path: Path) -> None:
    declared = gpx(TRKPTS, before='<?xml version="1.0" encoding="ISO-8859-1"?><!-- é -->').encode("iso-8859-1")
    assert len(read_workout(written(tmp_path / "a.gpx", declared)).points) == len(POINTS)
    assert len(read_workout(written(tmp_path / "b.gpx", b"\xef\xbb\xbf" + gpx(TRKPTS).encode())).points) == len(POINTS)
    assert refusal(written(tmp_path / "c.gpx", declared.replace(b"ISO-8859-1", b"UTF-8"))) == "encoding"
    assert refusal(written(tmp_path / "d.gpx", gpx(TRKPTS).encode("utf-16"))) == "encoding"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.gpx", "", "xml_malformed"),
        ("a.gpx", "<html/>", "unknown_kind"),
        ("a.txt", "a shopping list", "unknown_kind"),
        ("a.gpx", '<gpx><trk><trkseg><trkpt lat="north" lon="7"/></trkseg></trk></gpx>', "content_invalid"),
        ("a.tcx", tcx(POINTS).replace(' Sport="Running"', ""), "content_invalid"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, name: str, content: str, reason: str) -> None:
    assert refusal(written(tmp_path / name, content)) == reason


def test_what_is_no_file_or_too_large_a_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.gpx") == "missing"
    assert refusal(tmp_path) == "not_a_file"
    large = tmp_path / "large.gpx"
    with large.open("wb") as file:
        file.truncate(FILE_SIZE_BYTES_MAX + 1024 * 1024)
    assert refusal(large) == "too_large"


@pytest.mark.parametrize(
    ("library", "name", "content"),
    [
        ("garmin_fit_sdk", "a.fit", fit(POINTS)),
        ("gpxpy", "a.gpx", gpx(TRKPTS)),
        ("tcxreader.tcxreader", "a.tcx", tcx(POINTS)),
        ("defusedxml.ElementTree", "a.gpx", gpx(TRKPTS)),
    ],
)
def test_without_the_extra_the_remedy_is_a_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, name: str, content: str | bytes
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ExtraMissing) as caught:
        read_workout(written(tmp_path / name, content))
    assert "pip install 'tallystick[import]'" in caught.value.remedy
