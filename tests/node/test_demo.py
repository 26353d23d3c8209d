"""`make demo` as a user runs it: it ends well, leaves what outsiders check, and would notice if it did not."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT, shared

from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.note import open_note
from tallystick_node.demo.errors import DemoNotRun
from tallystick_node.demo.leaks import find_leaks
from tallystick_node.demo.promises import Promises
from tallystick_node.demo.run import make_room
from tallystick_node.demo.walkers import PROGRAM, ana, ben, find_real_walker

DEMO_MAX_S = 240


def run_demo(out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tallystick_node.cli", "demo", "--out", str(out), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEMO_MAX_S, check=False)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo, played once."""
    out = tmp_path_factory.mktemp("demo") / "build"
    ran = run_demo(out)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "BROKEN" not in ran.stdout
    (out.parent / "stdout").write_text(ran.stdout)
    return out


def test_it_leaves_what_outsiders_check(demo: Path) -> None:
    for partner in ("gym", "insurer", "track", "pace"):
        for name in ("log/checkpoint", "log/tile/0", "log/tile/entries", "log.vkey", "log-pq.vkey"):
            assert (demo / partner / name).exists(), name
    assert (demo / "report.html").read_text().startswith("<!doctype html>")
    report = json.loads((demo / "report.json").read_text())
    assert set(report["promises"]) == {"P1", "P2", "P3", "P4", "P5", "P7", "P8", "P9", "P10", "P13", "P14"}
    assert all(held is True for held in report["promises"].values())
    assert [audit["holds"] for audit in report["audits"]] == [True] * 6
    for journey, partners in zip(report["journeys"], ({"gym", "insurer"}, {"track", "pace"}), strict=True):
        assert journey["learned"].keys() == journey["not_learned"].keys() == set(journey["partners"]) == partners


def test_the_screen_can_be_read_by_who_was_not_there(demo: Path) -> None:
    """Scenes are counted, companies are called what they are, and every command that is shown works as it is shown."""
    told = (demo.parent / "stdout").read_text()
    scenes = [int(number) for number in re.findall(r"^([0-9]+)\. ", told, re.MULTILINE)]
    assert scenes == list(range(1, len(scenes) + 1))
    assert len(scenes) >= 10
    assert not re.search(r"\b[Tt]he (pace|track)\b", told)
    assert "What the bank learned" in told
    assert "That 1 claim was taken" in told
    assert "tally audit --explain P4. Not shown here: P6 P11 P12 P15 P16 P17" in told
    (shown,) = re.findall(r"^  - tally (verify .*)$", told, re.MULTILINE)
    command = [sys.executable, "-c", "from tallystick.cli import main; main()", *shown.split()]
    verified = subprocess.run(command, capture_output=True, text=True, timeout=DEMO_MAX_S, check=False)
    assert (verified.returncode, verified.stdout.splitlines()[0]) == (0, "HOLDS.")


def test_the_recording_has_both_directions_the_outage_and_no_private_value(demo: Path) -> None:
    wire = [json.loads(line) for line in (demo / "wire.jsonl").read_text().splitlines()]
    pairs = {("gym", "insurer"), ("insurer", "gym"), ("track", "pace"), ("pace", "track")}
    assert {(each["from"], each["to"]) for each in wire} == pairs
    claims = [each["status"] for each in wire if each["path"] == "/peer/v1/claims"]
    assert claims.count(200) == 3
    assert set(claims) == {200, 502}
    private = json.loads((demo / "private.json").read_text())
    assert len(private["gym"]) > 100
    assert {"348440", "11240", "14000"} <= set(private["track"])
    long = [value for partner in set(private) - {"_agreed"} for value in private[partner] if len(value) >= 6]
    for each in wire:
        raw = base64.b64decode(each["request_b64"]) + base64.b64decode(each["response_b64"])
        told = raw.decode(errors="replace")  # tiles are no text
        assert not [value for value in long if value in told]


def test_each_head_is_cosigned_by_the_partner_and_by_a_witness_that_is_nobody_s_partner(demo: Path) -> None:
    for partner, other in (("gym", "insurer"), ("insurer", "gym")):
        keys = [VerifierKey.parse(line) for line in (demo / partner / "witnesses.vkey").read_text().splitlines()]
        assert [key.name for key in keys] == [f"{other}.example/witness", "witness.example", "witness.example"]
        opened = open_note((demo / partner / "log" / "checkpoint").read_bytes(), keys)
        assert {each.key for each in opened.verified} >= set(keys[1:])
    wire = [json.loads(line) for line in (demo / "wire.jsonl").read_text().splitlines()]
    cosigned = [each for each in wire if (each["path"], each["status"]) == ("/witness/add-checkpoint", 200)]
    assert {("gym", "insurer"), ("insurer", "gym")} <= {(each["from"], each["to"]) for each in cosigned}


@pytest.mark.long  # in `make check` the demo's own scan stands for it, and the recording is looked through above
def test_an_outside_scanner_finds_no_leak(demo: Path) -> None:
    scanner = shared("accept/leak_scan.py")
    scanned = subprocess.run([sys.executable, str(scanner), str(demo)], capture_output=True, text=True, check=False)
    assert scanned.returncode == 0, scanned.stdout


def test_the_savings_program_is_the_one_in_the_documentation() -> None:
    assert json.loads((ROOT / "docs" / "examples" / "pace-tier.json").read_text()) == PROGRAM
    assert (ana().band(), ana().is_told(), ben().is_told()) == (4, True, False)


def test_a_real_month_of_steps_is_somebody_s_of_whom_enough_days_agree_with_their_hours() -> None:
    walker = find_real_walker(shared("data/fitbit_furberg2016").parent)
    assert walker is not None
    assert walker.is_told()
    assert len({each.day for each in walker.days}) == len(walker.days) == 31
    assert {each.day.isoformat()[:7] for each in walker.days} == {"2027-03"}


def test_only_an_earlier_demo_is_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "gym").mkdir()
    for name in ("report.json", "report.html", "wire.jsonl"):  # names that others give their files too
        (tmp_path / name).touch()
        with pytest.raises(DemoNotRun):
            make_room(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    (tmp_path / "gym" / "node.toml").touch()  # a demo of before there was a mark
    make_room(tmp_path)
    for _ in range(2):
        assert [each.name for each in tmp_path.iterdir()] == [".tallystick-demo"]
        (tmp_path / "half a demo").touch()
        make_room(tmp_path)


@pytest.mark.parametrize(
    "place",
    [
        b"member 204417 of the gym",
        b'{"at": 3300}',
        base64.b64encode(b"x{204417}"),
        base64.urlsafe_b64encode(b'{"seconds": 3300}').rstrip(b"="),
        b"fc" + b"204417".hex().encode(),
    ],
)
def test_a_leak_is_found_where_it_hides(place: bytes) -> None:
    assert find_leaks({"204417", "3300"}, {"here": place, "there": b"33001"}) == ["here"]


def test_what_both_agreed_on_may_stand_there() -> None:
    assert find_leaks({"2000"}, {"here": b'{"amount": 2000}'}, agreed={"2000"}) == []


def test_a_promise_is_kept_only_if_every_check_of_it_held() -> None:
    promises = Promises()
    assert not promises.kept
    promises.check("P10", "first", held=True)
    promises.check("P2", "second", held=True)
    assert promises.kept
    promises.check("P10", "third", held=False)
    assert list(promises.verdicts().items()) == [("P2", True), ("P10", False)]
    assert not promises.kept


def test_a_story_that_stopped_keeps_no_promise() -> None:
    promises = Promises()
    promises.check("P1", "first", held=True)
    promises.stopped = "a wait"
    assert not promises.kept
