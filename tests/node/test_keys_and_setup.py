"""What an operator can get wrong: folders, keys, settings, fingerprints, scopes, clocks. Each is refused, and kept."""

import json
import os
import re
import socket
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from hostile import PRIVATE
from places import ROOT
from seeds import seeds_of
from signers import NOW_S
from typer.testing import CliRunner

from tallystick.descriptor import Descriptor, PublicKey, open_descriptor, public_key, sign_descriptor
from tallystick.wire import SCOPES
from tallystick_consent.receipts.evidence import Evidence
from tallystick_ledger.errors import BadInput, SignatureRejected, TallyError
from tallystick_node.cli import app, main
from tallystick_node.clock import FileClock, SetClock
from tallystick_node.config import CLOCK_VARIABLE, SETTINGS_FILE, Settings, clock_for, load_settings
from tallystick_node.errors import SettingsInvalid
from tallystick_node.keys.files import write_secret_file
from tallystick_node.keys.ring import NodeKeys, load_keys, make_keys
from tallystick_node.operator.apps import add_app_key
from tallystick_node.operator.partners import add_partner, list_partners
from tallystick_node.serving import serve
from tallystick_node.setup import create_node, open_node

CLOCK = SetClock(NOW_S)


def made(folder: Path, host: str = "gym.example", **changes: object) -> NodeKeys:
    how = {"url": f"https://{host}", "bind": "127.0.0.1:1", "sandbox": True, "clock": CLOCK, **changes}
    return create_node(folder, host=host, **how)  # type: ignore[arg-type]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Keys


def test_keys_are_read_back_as_they_were_made_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    keys = make_keys(tmp_path, random_bytes=os.urandom, now_s=NOW_S)
    assert load_keys(tmp_path) == keys
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_keys_are_never_overwritten(tmp_path: Path) -> None:
    make_keys(tmp_path, random_bytes=os.urandom, now_s=NOW_S)
    before = content(tmp_path)
    with pytest.raises(SettingsInvalid):
        make_keys(tmp_path, random_bytes=os.urandom, now_s=NOW_S)
    with pytest.raises(SettingsInvalid):
        write_secret_file(tmp_path / "log.key", "another")
    assert content(tmp_path) == before


def _readable(path: Path) -> None:
    path.chmod(0o640)


def _missing(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_text("")


def _short(path: Path) -> None:
    path.write_text(f"{NOW_S} AAAA\n")


def _untimed(path: Path) -> None:
    path.write_text(path.read_text().partition(" ")[2])


def _spelt_otherwise(path: Path) -> None:
    path.write_text(path.read_text().strip() + "=\n")


def _binary(path: Path) -> None:
    path.write_bytes(b"\xff" * 60)


SPOILERS: tuple[Callable[[Path], None], ...] = (
    _readable,
    _missing,
    _empty,
    _short,
    _untimed,
    _spelt_otherwise,
    _binary,
)


@pytest.mark.parametrize("spoil", SPOILERS, ids=[each.__name__.strip("_") for each in SPOILERS])
@pytest.mark.parametrize("role", ["identity", "log-pq", "seal"])
def test_a_node_with_a_spoiled_key_does_not_open(tmp_path: Path, spoil: Callable[[Path], None], role: str) -> None:
    made(tmp_path)
    secret = (tmp_path / "keys" / f"{role}.key").read_text().strip().partition(" ")[2]
    spoil(tmp_path / "keys" / f"{role}.key")
    with pytest.raises(SettingsInvalid) as refused:
        open_node(tmp_path, clock=CLOCK)
    assert role in str(refused.value)
    assert secret not in str(refused.value)


# Nodes


def test_a_node_is_not_made_where_one_is(tmp_path: Path) -> None:
    made(tmp_path)
    before = content(tmp_path)
    with pytest.raises(SettingsInvalid):
        made(tmp_path, "insurer.example")
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "Gym.example"},
        {"host": "gym example"},
        {"host": ""},
        {"host": "gym.example\n"},
        {"host": "gym.example/log"},
        {"url": "ftp://gym.example"},
        {"url": "https://gym.example/?a"},
        {"url": "https://"},
        {"url": "https://" + "a" * 300},
        {"bind": "127.0.0.1"},
        {"bind": "127.0.0.1:80\nsandbox = true"},
        {"log_year": 10_000},
    ],
    ids=str,
)
def test_a_setting_that_is_none_makes_no_node(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsInvalid):
        made(tmp_path / "gym", **{"host": "gym.example", **wrong})  # type: ignore[arg-type]
    assert not (tmp_path / "gym").exists()


@pytest.mark.parametrize(
    "url", ['https://gym.example/"quoted', "https://gym.example/back\\slash", "https://gÿm.example"]
)
def test_settings_are_read_back_as_they_were_written(tmp_path: Path, url: str) -> None:
    made(tmp_path, url=url)
    assert load_settings(tmp_path).url == url
    assert tomllib.loads((tmp_path / SETTINGS_FILE).read_text())["url"] == url


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "",
        lambda text: text + "\nmore = 1\n",
        lambda text: text.replace("sandbox = true", "sandbox = 1"),
        lambda text: text.replace("sandbox = true", 'sandbox = "true"'),
        lambda text: text.replace('host = "gym.example"', 'host = "GYM"'),
        lambda text: text + "[",
        lambda text: text.replace("publish_interval_ms = 200", "publish_interval_ms = 9"),
    ],
    ids=["empty", "a member too many", "one for true", "text for true", "no host", "no TOML", "too often"],
)
def test_settings_that_are_none_open_nothing(tmp_path: Path, spoil: Callable[[str], str]) -> None:
    made(tmp_path)
    path = tmp_path / SETTINGS_FILE
    path.write_text(spoil(path.read_text()))
    with pytest.raises(SettingsInvalid):
        open_node(tmp_path, clock=CLOCK)


def test_there_is_no_node_in_an_empty_folder_and_none_is_made_by_looking(tmp_path: Path) -> None:
    for look in (
        lambda: open_node(tmp_path, clock=CLOCK),
        lambda: list_partners(tmp_path),
        lambda: add_app_key(tmp_path, name="app", scopes=SCOPES, clock=CLOCK),
    ):
        with pytest.raises(SettingsInvalid):
            look()
    assert content(tmp_path) == {}


# Partners


def descriptor_of(folder: Path) -> str:
    return (folder / "descriptor.jwt").read_text()


def test_a_partner_is_trusted_by_the_fingerprint_that_two_people_compared(tmp_path: Path) -> None:
    made(tmp_path / "gym")
    theirs = made(tmp_path / "insurer", "insurer.example")
    spelt = ":".join(theirs.fingerprint.upper()[at : at + 2] for at in range(0, 64, 2))
    add_partner(tmp_path / "gym", descriptor_of(tmp_path / "insurer"), expected_fingerprint=spelt, clock=CLOCK)
    assert list_partners(tmp_path / "gym") == [("insurer.example", theirs.fingerprint)]


def test_a_partner_with_another_fingerprint_is_not_trusted(tmp_path: Path) -> None:
    ours = made(tmp_path / "gym")
    made(tmp_path / "insurer", "insurer.example")
    descriptor = descriptor_of(tmp_path / "insurer")
    for wrong in (ours.fingerprint, "", "00" * 32, "insurer.example"):
        with pytest.raises(SignatureRejected):
            add_partner(tmp_path / "gym", descriptor, expected_fingerprint=wrong, clock=CLOCK)
    assert list_partners(tmp_path / "gym") == []


def test_a_descriptor_that_was_changed_is_not_trusted(tmp_path: Path) -> None:
    made(tmp_path / "gym")
    theirs = made(tmp_path / "insurer", "insurer.example")
    described = open_descriptor(
        descriptor_of(tmp_path / "insurer").strip(), expected_fingerprint=theirs.fingerprint
    ).model_copy(update={"url": "https://elsewhere.example"})
    other = sign_descriptor(described, identity=load_keys(tmp_path / "gym" / "keys").ed25519("identity"))
    head, _, signature = descriptor_of(tmp_path / "insurer").strip().split(".")
    for forged in (other, f"{head}.{other.split('.')[1]}.{signature}"):
        with pytest.raises(SignatureRejected):
            add_partner(tmp_path / "gym", forged, expected_fingerprint=theirs.fingerprint, clock=CLOCK)
    assert list_partners(tmp_path / "gym") == []


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "é.é.é", "e30.e30.e30", "a.b", "." * 10_000])
def test_what_is_no_descriptor_is_refused(tmp_path: Path, text: str) -> None:
    made(tmp_path / "gym")
    with pytest.raises(BadInput):
        add_partner(tmp_path / "gym", text, expected_fingerprint="00" * 32, clock=CLOCK)


def test_a_node_is_not_its_own_partner(tmp_path: Path) -> None:
    keys = made(tmp_path / "gym")
    descriptor = descriptor_of(tmp_path / "gym")
    with pytest.raises(SettingsInvalid):
        add_partner(tmp_path / "gym", descriptor, expected_fingerprint=keys.fingerprint, clock=CLOCK)


def lists_another(folder: Path, keys: NodeKeys, stolen: PublicKey) -> str:
    """Return a partner's own descriptor, well signed, that lists a key of somebody else as one of its own."""
    described = open_descriptor(descriptor_of(folder).strip(), expected_fingerprint=keys.fingerprint)
    listed = Descriptor.model_validate(
        {**described.model_dump(), "keys": tuple(key.model_dump() for key in (*described.keys, stolen))}
    )
    return sign_descriptor(listed, identity=keys.ed25519("identity"))


def test_a_partner_that_lists_the_http_key_of_another_is_not_trusted(tmp_path: Path) -> None:
    """Else what the insurer signs would pass for what this one sent."""
    made(tmp_path / "gym")
    insurer, thief = (made(tmp_path / name, f"{name}.example") for name in ("insurer", "thief"))
    add_partner(
        tmp_path / "gym",
        descriptor_of(tmp_path / "insurer"),
        expected_fingerprint=insurer.fingerprint,
        clock=CLOCK,
    )
    stolen = public_key("http", insurer.public("http"), from_s=NOW_S)
    forged = lists_another(tmp_path / "thief", thief, stolen)
    with pytest.raises(SettingsInvalid):
        add_partner(tmp_path / "gym", forged, expected_fingerprint=thief.fingerprint, clock=CLOCK)
    assert [host for host, _ in list_partners(tmp_path / "gym")] == ["insurer.example"]


# Apps' keys


@pytest.mark.parametrize(
    ("name", "scopes"),
    [
        ("app", []),
        ("app", ["everything"]),
        ("app", ["events:write", "events:WRITE"]),
        ("", ["events:write"]),
        ("a" * 61, ["events:write"]),
        ("my app", ["events:write"]),
        ("größe", ["events:write"]),
        ("app\n", ["events:write"]),
    ],
)
def test_a_key_with_no_name_or_no_scope_that_there_is_is_not_made(tmp_path: Path, name: str, scopes: list[str]) -> None:
    made(tmp_path)
    with pytest.raises(SettingsInvalid):
        add_app_key(tmp_path, name=name, scopes=scopes, clock=CLOCK)


@pytest.mark.parametrize("name", ["a", "a" * 60, "Front-Desk_2.app", "..."])
def test_the_name_of_a_key_can_stand_in_evidence(tmp_path: Path, name: str) -> None:
    made(tmp_path)
    assert add_app_key(tmp_path, name=name, scopes=SCOPES, clock=CLOCK).secret.startswith("sk_test_")
    assert Evidence(grade="app_asserted", app=name, login="aal2").app == name


def test_a_live_node_makes_live_keys(tmp_path: Path) -> None:
    made(tmp_path, sandbox=False)
    assert add_app_key(tmp_path, name="app", scopes=SCOPES, clock=CLOCK).secret.startswith("sk_live_")


# Clocks


def test_a_live_node_takes_no_clock_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid):
        clock_for({CLOCK_VARIABLE: str(tmp_path / "clock")}, sandbox=False)
    assert isinstance(clock_for({CLOCK_VARIABLE: str(tmp_path / "clock")}, sandbox=True), FileClock)


@pytest.mark.parametrize("text", [None, "", "soon", "-1", "1.5", "1e9", "\u0661", "9" * 13, "\x00"])
def test_a_clock_file_that_holds_no_time_tells_none(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "clock"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsInvalid):
        FileClock(path).now_s()


def test_a_clock_file_tells_whole_seconds(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    path.write_text(f"{NOW_S}\n")
    assert FileClock(path).now_s() == NOW_S


# The command line


def test_the_command_line_says_what_is_wrong_without_a_trace(tmp_path: Path) -> None:
    run = CliRunner()
    for arguments in (["partner", "list", str(tmp_path)], ["keys", "add", str(tmp_path), "app", "--scope", "x"]):
        said = run.invoke(app, arguments)
        assert said.exit_code != 0
        assert isinstance(said.exception, SystemExit | TallyError)
        assert not [word for word in PRIVATE if word in said.output]


def test_a_refusal_is_printed_as_tally_prints_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["tally-node", "partner", "list", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told, remedy = capsys.readouterr().err.splitlines()
    assert told == "settings_invalid: There is no node in this folder."
    assert remedy.startswith("What to do: Run: tally-node init")


def test_a_place_where_something_else_listens_is_said_to_be_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        place = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(SettingsInvalid, match=f"Nothing can listen at {place}") as refused:
            serve(FastAPI(), place)
    assert "--bind" in refused.value.remedy


def test_every_setting_is_in_the_manual() -> None:
    manual = (ROOT / "docs" / "operating.md").read_text()
    assert [name for name in Settings.model_fields if not re.search(rf"^\|[^|]*`{name}`", manual, re.MULTILINE)] == []


def test_settings_hold_nothing_that_is_secret(tmp_path: Path) -> None:
    keys = made(tmp_path)
    public = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert set(public) >= {SETTINGS_FILE, "descriptor.jwt", "log.vkey", "log-pq.vkey"}
    for text in public.values():
        for seed in seeds_of(keys).values():
            assert seed.hex() not in text
    assert json.loads(Settings.model_validate(tomllib.loads(public[SETTINGS_FILE])).model_dump_json())["sandbox"]
