"""The command `tally` from outside: what it prints, and the status it ends with."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from hosts import Host
from logs import identifier, log_signers, plain_entries, publish
from signers import NOW_S
from story import receipt, tell

from tallystick import cli
from tallystick.audit import RULES, SUBJECTS
from tallystick.cli import auditing
from tallystick_ledger.append import plan_append
from tallystick_ledger.tlog.merkle import Frontier
from tallystick_ledger.tlog.proof import InclusionProof

ORIGIN = "gym.example/log/2027"


class Ran:
    """One run of the command."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["tally", *map(str, arguments)])
        monkeypatch.delenv("TALLYSTICK_KEY", raising=False)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        self.status = ended.value.code
        self.out, self.err = capsys.readouterr()


Tally = Callable[..., Ran]


@pytest.fixture
def tally(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tally:
    return lambda *arguments: Ran(monkeypatch, capsys, *arguments)


def test_a_log_that_holds_ends_in_0(tmp_path: Path, tally: Tally) -> None:
    ran = tally("audit", publish(tmp_path, plain_entries(9, origin=ORIGIN), origin=ORIGIN))
    assert (ran.status, ran.err) == (0, "")
    assert "HOLDS" in ran.out
    assert "../log-pq.vkey" in ran.out


def test_a_log_with_findings_ends_in_1_and_names_rule_and_place(tmp_path: Path, tally: Tally) -> None:
    log = publish(tmp_path, plain_entries(9, origin=ORIGIN), origin=ORIGIN)
    (log / "[red]surprise").touch()
    ran = tally("audit", log)
    assert ran.status == 1
    assert "DOES NOT HOLD: 1 finding" in ran.out
    assert "log.unexpected_file" in ran.out
    assert "[red]" in ran.out


def test_several_logs_are_held_against_each_other(tmp_path: Path, tally: Tally) -> None:
    gym, insurer = tell()
    gym.spoil("fee", amount=1)
    logs = [publish(tmp_path / each.host, each.raws(), origin=each.origin) for each in (gym, insurer)]
    ran = tally("audit", *logs, "--json")
    report = json.loads(ran.out)
    assert (ran.status, report["holds"]) == (1, False)
    assert [finding["rule"] for finding in report["findings"]] == ["X.half_differs"]
    assert [source["origin"] for source in report["sources"]] == [gym.origin, insurer.origin]
    assert report["rules"].keys() == RULES.keys() - {"P1.continues", "P16.stale"}
    assert "cannot prove" in report["limits"]


def test_a_policy_is_named_in_the_report(tmp_path: Path, tally: Tally) -> None:
    log = publish(tmp_path, plain_entries(9, origin=ORIGIN), origin=ORIGIN)
    policy = tmp_path / "trust.policy"
    policy.write_text("".join(f"log {each.verifier_key.text}\n" for each in log_signers(ORIGIN)) + "quorum none\n")
    ran = tally("audit", log, "--policy", policy, "--json")
    assert ran.status == 0
    assert {key["source"] for key in json.loads(ran.out)["sources"][0]["keys"]} == {str(policy)}


def test_an_audit_goes_on_from_an_earlier_one(tmp_path: Path, tally: Tally) -> None:
    early = publish(tmp_path / "early", plain_entries(9, origin=ORIGIN), origin=ORIGIN)
    late = publish(tmp_path / "late", plain_entries(300, origin=ORIGIN), origin=ORIGIN)
    state = tmp_path / "state"
    assert tally("audit", early, "--save", state).status == 0
    assert state.stat().st_mode & 0o077 == 0
    ran = tally("audit", late, "--since", state, "--save", state, "--integrity", "--json")
    (source,) = json.loads(ran.out)["sources"]
    assert (ran.status, source["since"], source["replayed"]) == (0, 9, False)
    shown = tally("audit", late, "--since", state, "--integrity").out
    assert "300 entries checked by an earlier audit" in shown
    assert "NOT REPLAYED" in shown


def test_evidence_is_left_once_and_convicts(tmp_path: Path, tally: Tally) -> None:
    logs = [publish(tmp_path / at, [b"%d" % len(at)], origin=ORIGIN) for at in ("one", "three")]
    ran = tally("audit", *logs, "--evidence", tmp_path / "evidence")
    assert (ran.status, "Evidence, kept: 001-P1.fork.json" in ran.out) == (1, True)
    told = tally("audit", *logs).out
    assert "Evidence, NOT KEPT (--evidence FOLDER does): 001-P1.fork.json" in told
    file = tmp_path / "evidence" / "001-P1.fork.json"
    ran = tally("verify", file, "--key", tmp_path / "one" / "log.vkey")
    assert (ran.status, ran.out.startswith(f"CONVICTS {ORIGIN}.")) == (0, True)
    kept = file.read_bytes()
    again = tally("audit", *logs, "--evidence", tmp_path / "evidence")
    assert (again.status, "Evidence cannot be left" in again.err, file.read_bytes()) == (2, True, kept)
    assert "P1.fork" in again.out, "what was found is told all the same"


def test_which_year_s_log_is_meant_follows_from_the_time_that_is_given(tmp_path: Path, tally: Tally) -> None:
    policy = tmp_path / "policy"
    policy.write_text("".join(f"log {signer.verifier_key.text}\n" for signer in log_signers(ORIGIN)) + "quorum none\n")
    with Host() as host:
        ran = tally("audit", host.url, "--policy", policy, "--now", 1_956_528_000)  # in 2032
    assert (ran.status, "The node shows no log of 2032." in ran.err) == (2, True)


def test_the_age_of_a_head_is_asked_for(tmp_path: Path, tally: Tally) -> None:
    log = publish(tmp_path, plain_entries(9, origin=ORIGIN), origin=ORIGIN)
    assert tally("audit", log, "--max-age", 60, "--now", NOW_S + 60).status == 0
    assert tally("audit", log, "--max-age", 60, "--now", NOW_S + 61).status == 1
    assert tally("audit", log, "--max-age", 60).status == 1  # by this machine's clock


@pytest.mark.parametrize(
    "arguments",
    [
        ["/nowhere"],
        [],
        ["--explain", "P99.nothing"],
        ["http://127.0.0.1:1"],
        ["ftp://host"],
        ["http://a.example", "http://b.example", "--key", "one"],
        ["--unknown"],
        [".", "--policy", "/nowhere"],
        [".", "--since", "/nowhere"],
        [".", "--workers", "-1"],
        [".", "--max-age", "-1"],
    ],
)
def test_what_cannot_be_run_ends_in_2_and_says_what_to_do(arguments: list[str], tally: Tally) -> None:
    ran = tally("audit", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err
    assert "Traceback" not in ran.err


def test_an_error_has_its_code_problem_and_remedy(tally: Tally) -> None:
    assert tally("audit", "/nowhere").err.splitlines() == [
        "audit_not_run: /nowhere is not a folder.",
        "What to do: Give the folder that holds `checkpoint`, or a URL.",
    ]


@pytest.mark.parametrize(
    "raw", [b"", b"a diary", b'{"v":1}\nand what is sealed', b'{"v":1,"backup":1}', b"\xff\n\n\xff", b"[1]"]
)
def test_a_file_of_no_kind_that_is_known_accuses_nobody(raw: bytes, tmp_path: Path, tally: Tally) -> None:
    """A node's backup, say, of which an operator wants to know whether it is whole."""
    file = tmp_path / "gym.backup"
    file.write_bytes(raw)
    ran = tally(
        "verify", file, "--key", publish(tmp_path, plain_entries(1, origin=ORIGIN), origin=ORIGIN) / "../log.vkey"
    )
    assert (ran.status, ran.out) == (2, "")
    assert f"{file} is no file that can be verified." in ran.err
    for kind in (".tlog-proof", "evidence", "certificate", "export", "receipt", "JWS", "wallet"):
        assert kind in ran.err


def test_its_version_is_told(tally: Tally) -> None:
    assert tally("--version").out == f"tallystick {version('tallystick')}\n"


def test_a_year_is_the_name_of_any_log_of_a_node(tally: Tally) -> None:
    """Nobody listens at that address: a name that a log may have is asked for there, and another is not."""
    for named in ("2027", "2027-2"):
        assert (
            "The node at 127.0.0.1:1 cannot be reached (ConnectError)."
            in tally("audit", "http://127.0.0.1:1", "--year", named).err
        )
    for other in ("", "27", "2027-0", "2027/2", "../2027"):
        assert "A log is not named so." in tally("audit", "http://127.0.0.1:1", "--year", other).err


def test_a_rule_is_explained_by_what_it_reads_and_what_it_cannot_see(tally: Tally) -> None:
    ran = tally("audit", "--explain", "P4.rung")
    lines = ran.out.splitlines()
    assert (ran.status, lines[0]) == (0, f"P4.rung: {RULES['P4.rung']}")
    assert [line.strip().partition(":")[0] for line in lines[1:4]] == ["promise", "read from", "not checked"]
    assert "needs several logs" in tally("audit", "--explain", "X.withheld").out


def test_a_promise_without_a_rule_says_why(tally: Tally) -> None:
    ran = tally("audit", "--explain", "P11")
    assert (ran.status, ran.out.splitlines()[0]) == (0, f"P11: {SUBJECTS['P11'].promise}")
    assert SUBJECTS["P11"].unseen in ran.out


def test_every_rule_is_listed(tally: Tally) -> None:
    listed = tally("audit", "--explain").out
    assert [rule for rule in RULES if f"  {rule}: " not in listed] == []


def test_receipts_are_counted_by_the_grade_of_their_evidence(tmp_path: Path, tally: Tally) -> None:
    gym, _ = tell()
    for each, grade in (("ben", "wallet_key"), ("cleo", "wallet_key"), ("dov", "")):
        gym.add(f"{each} asked", "receipt", {**receipt("requested"), "receipt": identifier("rcp", each)})
        if grade:
            gym.add(each, "receipt", {**receipt("given"), "receipt": identifier("rcp", each), "grade": grade})
    gym.add("ben ends", "receipt", {**receipt("withdrawn"), "receipt": identifier("rcp", "ben")})
    log = publish(tmp_path, gym.raws(), origin=gym.origin)
    report = json.loads(tally("audit", str(log), "--json").out)
    assert report["holds"]
    assert report["sources"][0]["grades"] == {"app_asserted": 1, "wallet_key": 2}
    assert "1 app_asserted, 2 wallet_key" in " ".join(tally("audit", str(log)).out.split())


def test_a_proof_is_verified_offline(tmp_path: Path, tally: Tally) -> None:
    entries = plain_entries(9, origin=ORIGIN)
    log = publish(tmp_path, entries, origin=ORIGIN)
    (hashes,) = plan_append(Frontier.empty(), entries).prove([4])
    proof, entry, keys = tmp_path / "4.tlog-proof", tmp_path / "4.json", tmp_path / "log.vkey"
    proof.write_bytes(InclusionProof(4, tuple(hashes), (log / "checkpoint").read_bytes()).encode())
    entry.write_bytes(entries[4])
    policy = tmp_path / "trust.policy"
    policy.write_text(f"log {keys.read_text()}quorum none\n")

    for trust in (["--key", keys], ["--policy", policy]):
        ran = tally("verify", proof, "--entry", entry, *trust)
        assert (ran.status, ran.out) == (0, f"HOLDS. Entry 4 of {ORIGIN}, under its head of 9 entries.\n")

    other = publish(tmp_path / "other", entries, origin="bank.example/log/2027").parent / "log.vkey"
    assert tally("verify", proof, "--entry", entry, "--key", other).status == 1
    entry.write_bytes(entries[5])
    ran = tally("verify", proof, "--entry", entry, "--key", keys)
    assert ran.status == 1
    assert "proof_rejected" in ran.err
    proof.write_bytes(b"c2sp.org/tlog-proof@v1\n\xff\n\n\xff")
    assert tally("verify", proof, "--entry", entry, "--key", keys).status == 1
    assert tally("verify", tmp_path / "none", "--entry", entry, "--key", keys).status == 2
    assert tally("verify", proof, "--entry", entry).status == 2


def test_an_event_cannot_be_recorded_at_a_node_that_is_not_there(tally: Tally) -> None:
    node = ["--url", "http://127.0.0.1:1", "--key", "k", "--fingerprint", "0" * 64]
    ran = tally("record", *node, "--subject", "ana", "--type", "visit.ended", "--data", "{}")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("node_unreachable: ")


def test_data_that_is_no_json_is_refused_before_anything_is_sent(tally: Tally) -> None:
    node = ["--url", "http://127.0.0.1:1", "--key", "k", "--fingerprint", "0" * 64]
    ran = tally("record", *node, "--subject", "ana", "--type", "visit.ended", "--data", "{")
    assert (ran.status, ran.err.split(":")[0]) == (2, "invalid_input")


FACILITY = {"id": "north", "name": "North", "latitude": 52.5, "longitude": 13.4, "radius_m": 100}


def test_visits_are_found_in_workouts_and_shown(tmp_path: Path, tally: Tally) -> None:
    points = "".join(
        f'<trkpt lat="52.5" lon="13.4"><time>2027-03-05T10:{minute:02}:00Z</time></trkpt>' for minute in range(40)
    )
    (tmp_path / "run.gpx").write_text(
        '<gpx version="1.1" creator="t" xmlns="http://www.topografix.com/GPX/1/1">'
        f"<trk><trkseg>{points}</trkseg></trk></gpx>"
    )
    facilities = tmp_path / "facilities.json"
    facilities.write_text(json.dumps({"facilities": [{**FACILITY, "time_zone": "Europe/Berlin"}]}))
    ran = tally("import", tmp_path / "run.gpx", "--facilities", facilities, "--dry-run")
    assert ran.status == 0
    assert "1 visits found" in ran.out
    assert "52.5" not in ran.out
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no workout")
    nothing = tally("import", tmp_path / "empty", "--facilities", facilities, "--dry-run")
    assert (nothing.status, nothing.out) == (2, "")
    assert f"There is no FIT, GPX or TCX file in {tmp_path / 'empty'}." in nothing.err
    (tmp_path / "bad.gpx").write_text("no")
    assert tally("import", tmp_path, "--facilities", facilities, "--dry-run").status == 1
    assert tally("import", tmp_path, "--facilities", facilities).status == 2


def test_days_of_steps_are_found_in_a_table_and_shown(tmp_path: Path, tally: Tally) -> None:
    days, hours = tmp_path / "days.csv", tmp_path / "hours.csv"
    days.write_text("date,steps\n2027-03-05,8765\n2027-03-07,0\n")
    hours.write_text("hour,steps\n2027-03-05 10:00,4321\n")
    ran = tally("import", days, "--kind", "steps", "--zone", "Europe/Lisbon", "--hours", hours, "--dry-run")
    assert ran.status == 0
    assert "2 days found" in ran.out
    assert "8765" not in ran.out
    assert tally("import", days, "--kind", "steps", "--zone", "Europe/Lisbon").status == 2
    unzoned = tally("import", days, "--kind", "steps", "--dry-run")
    assert (unzoned.status, "--zone" in unzoned.err) == (2, True)
    two = tally("import", days, hours, "--kind", "steps", "--zone", "Europe/Lisbon", "--dry-run")
    assert (two.status, "by itself" in two.err) == (2, True)


def test_dates_that_read_both_ways_ask_for_their_order(tmp_path: Path, tally: Tally) -> None:
    table = tmp_path / "days.csv"
    table.write_text("date,steps\n4/12/2016,1\n5/12/2016,1\n")
    ran = tally("import", table, "--kind", "steps", "--zone", "UTC", "--dry-run")
    assert (ran.status, "--date-order" in ran.err) == (2, True)
    told = tally("import", table, "--kind", "steps", "--zone", "UTC", "--date-order", "day-first", "--dry-run")
    assert (told.status, "day first" in told.out) == (0, True)


def test_purchases_are_found_in_a_table_and_shown(tmp_path: Path, tally: Tally) -> None:
    table = tmp_path / "shop.txt"
    table.write_text("customer_id date dollar_value\n 00001 19970101 11.77\n 00002 19970112 12.00\n")
    ran = tally("import", table, "--kind", "purchases", "--zone", "UTC", "--person", "00002", "--dry-run")
    assert ran.status == 0
    assert "1 purchases found" in ran.out
    assert tally("import", table, "--kind", "purchases", "--zone", "UTC", "--dry-run").status == 2


def test_workouts_need_facilities(tmp_path: Path, tally: Tally) -> None:
    ran = tally("import", tmp_path / "run.gpx", "--dry-run")
    assert (ran.status, "--facilities" in ran.err) == (2, True)


def test_a_bug_of_ours_does_not_look_like_a_finding(
    tmp_path: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = publish(tmp_path, plain_entries(2, origin=ORIGIN), origin=ORIGIN)

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(auditing, "audit", fail)
    ran = tally("audit", log)
    assert ran.status == 2
    assert "internal_error" in ran.err


def test_the_installed_command_is_this_one(tmp_path: Path) -> None:
    log = publish(tmp_path, plain_entries(2, origin=ORIGIN), origin=ORIGIN)
    command = Path(sys.executable).parent / "tally"
    ran = subprocess.run([command, "audit", log], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
