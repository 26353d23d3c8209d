"""Secrets at rest: sealed under a passphrase, opened by it alone, and never half of one and half of the other."""

import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from seeds import seeds_of
from typer.testing import CliRunner

from tallystick_node.cli import app
from tallystick_node.clock import SetClock
from tallystick_node.errors import KeysLocked, SettingsInvalid
from tallystick_node.keys import files as key_files
from tallystick_node.keys.changes import KeyFolder, reseal_keys, rotate_key, seal_keys
from tallystick_node.keys.files import SecretFiles, checked_passphrase, read_passphrase_file
from tallystick_node.keys.ring import NodeKeys, load_keys
from tallystick_node.setup import create_node, open_key_folder, open_node

NOW_S = 1_800_000_000
CLOCK = SetClock(NOW_S)
RUN = CliRunner()
WORDS = b"correct horse battery staple"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each guess cheap here; one test below keeps the real cost."""
    monkeypatch.setattr(key_files, "SCRYPT_N", 2**4)


def words() -> bytes:
    return WORDS


def files(folder: Path, passphrase: Callable[[], bytes] | None = words) -> SecretFiles:
    return SecretFiles(folder, random_bytes=os.urandom, passphrase=passphrase)


def made(folder: Path, passphrase: Callable[[], bytes] | None = words) -> None:
    create_node(
        folder, host="gym.example", url="http://gym", bind="a:1", sandbox=True, clock=CLOCK, passphrase=passphrase
    )


def test_a_sealed_node_opens_with_its_passphrase_and_goes_on_sealed(tmp_path: Path) -> None:
    made(tmp_path)
    keys = tmp_path / "keys"
    assert {path.read_text().split()[0] for path in keys.glob("*.key")} == {"scrypt-aes256gcm-v1"}
    assert {path.stat().st_mode & 0o777 for path in keys.iterdir()} == {0o600}
    node = open_node(tmp_path, clock=CLOCK, passphrase=words)
    for seed in seeds_of(node.keys).values():
        assert not [path for path in keys.iterdir() if seed in path.read_bytes()]
    with open_key_folder(tmp_path, clock=CLOCK, passphrase=words) as place:
        new = rotate_key(place, "log", overlap_days=1)
    assert (keys / f"{new.id('log')}.key").read_text().startswith("scrypt")
    node.refresh_keys()  # the passphrase is not asked for again
    assert node.keys == new
    node.close()


@pytest.mark.parametrize("passphrase", [None, lambda: b"incorrect horse"], ids=["none", "another"])
def test_without_its_passphrase_nothing_opens_and_nothing_changes(
    tmp_path: Path, passphrase: Callable[[], bytes] | None
) -> None:
    made(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    with pytest.raises(KeysLocked) as refused:
        open_node(tmp_path, clock=CLOCK, passphrase=passphrase)
    assert "horse" not in str(refused.value)
    with open_key_folder(tmp_path, clock=CLOCK, passphrase=passphrase) as place:
        for change in (lambda: rotate_key(place, "log", overlap_days=1), lambda: seal_keys(place)):
            with pytest.raises(KeysLocked):
                change()
    assert {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == before


def test_keys_in_clear_are_sealed_one_by_one_and_a_stop_in_between_loses_nothing(tmp_path: Path) -> None:
    made(tmp_path, None)
    keys = load_keys(tmp_path / "keys")
    with open_key_folder(tmp_path, clock=CLOCK, passphrase=words) as place:
        secret = (tmp_path / "keys" / "seal.key").read_text()
        (tmp_path / "keys" / "seal.key").chmod(0o640)  # the walk stops here
        with pytest.raises(SettingsInvalid):
            seal_keys(place)
        (tmp_path / "keys" / "seal.key").chmod(0o600)
        place.files.seal_all()
        (tmp_path / "keys" / "seal.key").write_text(secret)  # as if the power had failed before this one
        assert load_keys(tmp_path / "keys", files=files(tmp_path / "keys")) == keys
        assert seal_keys(place) == ["seal"]
        assert seal_keys(place) == []
    assert load_keys(tmp_path / "keys", files=files(tmp_path / "keys")) == keys
    with pytest.raises(KeysLocked):
        load_keys(tmp_path / "keys")


def test_what_is_sealed_later_is_sealed_under_the_same_passphrase(tmp_path: Path) -> None:
    made(tmp_path)
    text = files(tmp_path / "keys").read("claim")
    assert text is not None
    (tmp_path / "keys" / "claim.key").unlink()
    files(tmp_path / "keys").write("claim", text, sealed=False)
    with pytest.raises(KeysLocked), open_key_folder(tmp_path, clock=CLOCK, passphrase=lambda: b"other") as place:
        seal_keys(place)
    assert (tmp_path / "keys" / "claim.key").read_text().strip() == text


def _cut(line: str) -> str:
    return line.rpartition(" ")[0]


def _flipped(line: str) -> str:
    return line[:-2] + ("A" if line[-2] != "A" else "B") + line[-1]


def _short_nonce(line: str) -> str:
    kind, salt, _, boxed = line.split()
    return f"{kind} {salt} AAAA {boxed}"


def _long(line: str) -> str:
    return line + " " * 5_000 + "x"


@pytest.mark.parametrize("spoil", [_cut, _flipped, _short_nonce, _long])
def test_a_sealed_file_that_was_changed_does_not_open(tmp_path: Path, spoil: Callable[[str], str]) -> None:
    made(tmp_path)
    path = tmp_path / "keys" / "log.key"
    path.write_text(spoil(path.read_text().strip()) + "\n")
    with pytest.raises(SettingsInvalid):
        load_keys(tmp_path / "keys", files=files(tmp_path / "keys"))


def test_a_sealed_file_opens_under_its_own_name_alone(tmp_path: Path) -> None:
    made(tmp_path)
    keys = tmp_path / "keys"
    (keys / "log.key").write_text((keys / "claim.key").read_text())
    with pytest.raises(KeysLocked):
        files(keys).read("log")


OTHER = b"hunter two, and some more of it"


class Stopped(Exception):
    """The power fails here."""


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the power fail before this write to the disk."""
    left = step

    def counted(do: Callable[..., object]) -> Callable[..., object]:
        def done(*args: object, **named: object) -> object:
            nonlocal left
            if left == 0:
                raise Stopped
            left -= 1
            return do(*args, **named)

        return done

    for owner, name in ((os, "fsync"), (Path, "rename"), (Path, "unlink")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))


@pytest.mark.long
def test_another_passphrase_opens_all_or_nothing_wherever_the_power_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path)
    keys = load_keys(tmp_path / "keys", files=files(tmp_path / "keys"))
    now, new = WORDS, OTHER
    undone = 0
    for step in range(1_000):
        with monkeypatch.context() as power, resealing(tmp_path, now) as place:
            stop_at(step, power)
            try:
                assert reseal_keys(place, partial(bytes, new))
                is_over = True
            except Stopped:
                is_over = False
        opens = [each for each in (now, new) if opens_all(tmp_path, each, keys)]
        assert len(opens) == 1
        undone += opens == [now]
        if is_over:
            break
        now, new = (now, new) if opens == [now] else (new, now)
    assert undone > 10
    assert opens == [new]
    assert [path.name for path in (tmp_path / "keys").iterdir() if path.name.startswith(".")] == []


def resealing(folder: Path, passphrase: bytes) -> AbstractContextManager[KeyFolder]:
    return open_key_folder(folder, clock=CLOCK, passphrase=partial(bytes, passphrase))


def opens_all(folder: Path, passphrase: bytes, keys: NodeKeys) -> bool:
    """Return whether a passphrase opens the keys: all of them, or none."""
    with resealing(folder, passphrase) as place:
        try:
            return place.load() == keys
        except KeysLocked:
            return False


def test_another_passphrase_is_taken_by_who_knows_the_present_one_alone(tmp_path: Path) -> None:
    made(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    for known, new in ((lambda: OTHER, lambda: OTHER), (words, lambda: checked_passphrase(b""))):
        with open_key_folder(tmp_path, clock=CLOCK, passphrase=known) as place, pytest.raises(KeysLocked):
            reseal_keys(place, new)
    assert {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == before
    made(tmp_path / "clear", None)
    with resealing(tmp_path / "clear", WORDS) as place, pytest.raises(SettingsInvalid, match="not sealed"):
        reseal_keys(place, words)


def test_what_was_sealed_anew_and_never_counted_goes_with_its_key(tmp_path: Path) -> None:
    """The power failed before the new passphrase counted; then a key is destroyed."""
    made(tmp_path)
    beside = tmp_path / "keys" / ".seal.key.resealed"
    beside.write_bytes((tmp_path / "keys" / "seal.key").read_bytes())
    files(tmp_path / "keys").remove("seal")
    assert not beside.exists()


def test_a_key_that_is_made_after_it_is_sealed_under_the_new_passphrase(tmp_path: Path) -> None:
    made(tmp_path)
    node = open_node(tmp_path, clock=CLOCK, passphrase=words)
    with open_key_folder(tmp_path, clock=CLOCK, passphrase=words) as place:
        reseal_keys(place, lambda: OTHER)
        new = rotate_key(place, "log", overlap_days=1)
    node.close()
    with open_key_folder(tmp_path, clock=CLOCK, passphrase=lambda: OTHER) as place:
        assert place.load() == new


def test_a_removed_secret_is_overwritten_first(tmp_path: Path) -> None:
    made(tmp_path, None)
    path = tmp_path / "keys" / "log.key"
    beside = tmp_path / "still-linked"
    os.link(path, beside)
    secret = beside.read_bytes()
    files(tmp_path / "keys").remove("log")
    assert not path.exists()
    left = beside.read_bytes()
    assert len(left) == len(secret)
    assert not any(secret[at : at + 8] in left for at in range(len(secret) - 8))
    files(tmp_path / "keys").remove("log")


def test_the_cost_of_a_guess_is_what_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert (key_files.SCRYPT_N, key_files.SCRYPT_R, key_files.SCRYPT_P) == (2**16, 8, 1)


# Where a passphrase comes from


def passphrase_file(folder: Path, text: bytes = WORDS + b"\n", mode: int = 0o600) -> Path:
    path = folder / "words"
    path.write_bytes(text)
    path.chmod(mode)
    return path


def test_a_passphrase_is_read_from_a_file_without_its_last_newline(tmp_path: Path) -> None:
    assert read_passphrase_file(passphrase_file(tmp_path)) == WORDS
    assert read_passphrase_file(passphrase_file(tmp_path, b" \xff \n\n")) == b" \xff \n"


def test_a_passphrase_is_read_from_an_open_descriptor() -> None:
    reading, writing = os.pipe()
    os.write(writing, WORDS)
    os.close(writing)
    try:
        assert read_passphrase_file(Path(f"/dev/fd/{reading}")) == WORDS
    finally:
        os.close(reading)


def test_a_passphrase_that_is_none_is_refused(tmp_path: Path) -> None:
    for text, mode in ((b"\n", 0o600), (b"x" * 1_025, 0o600), (WORDS, 0o640)):
        with pytest.raises(KeysLocked):
            read_passphrase_file(passphrase_file(tmp_path, text, mode))
    with pytest.raises(KeysLocked):
        read_passphrase_file(tmp_path / "nowhere")
    assert checked_passphrase(b"x" * 1_024)


# The command line


def run(*arguments: object, passphrase: Path | None = None) -> str:
    """Return what `tally-node` prints."""
    said = RUN.invoke(
        app,
        [str(each) for each in arguments],
        env={"TALLYSTICK_PASSPHRASE_FILE": None if passphrase is None else str(passphrase)},
    )
    if said.exception is not None and not isinstance(said.exception, SystemExit):
        raise said.exception
    assert said.exit_code == 0, said.output
    return said.output


def test_the_operator_s_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Init, seal, list, rotate, revoke, fingerprint; no secret is ever printed."""
    gym, secret = tmp_path / "gym", passphrase_file(tmp_path)
    init = ("init", gym, "--host", "gym.example", "--url", "http://gym", "--sandbox")
    with pytest.raises(SettingsInvalid, match="passphrase"):
        run(*init, "--encrypt")
    run(*init)
    assert "Sealed: claim, http" in run("keys", "encrypt", gym, passphrase=secret)
    before = run("fingerprint", gym)
    run("keys", "add", gym, "front-desk", "--scope", "events:write", "--days", 30)
    listed = run("keys", "list", gym).splitlines()
    assert len(listed) == 13
    assert len({line.index(" from ") for line in listed[1:-2]}) == 1  # a column is a column, whatever the role
    header, app_key = listed[-2], listed[-1]
    assert header.split() == ["app", "key", "name", "until", "scopes"]
    cells = [app_key[header.index(title) :].split()[0] for title in ("name", "scopes")]
    assert cells == ["front-desk", "events:write"]  # scopes come last, however many
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  ", app_key[header.index("until") :])
    with pytest.raises(KeysLocked):
        run("keys", "rotate", gym, "log")
    assert "is used from now on" in run("keys", "rotate", gym, "log", "--overlap-days", 7, passphrase=secret)
    old = next(line.split()[0] for line in run("keys", "list", gym).splitlines() if " until " in line)
    now = run("keys", "list", gym).splitlines()[-3].split(" from ")[1].strip()
    told = run("keys", "revoke", gym, "log", "--since", now.replace(" ", "T"), "--key", old, passphrase=secret)
    assert told.startswith(f"Revoked: {old}. ")
    assert "Still counting beside it" not in told
    assert "compromised: revoked since" in run("keys", "list", gym)
    (tmp_path / "new").mkdir()
    monkeypatch.setenv("TALLYSTICK_NEW_PASSPHRASE_FILE", str(passphrase_file(tmp_path / "new", OTHER)))
    assert "Sealed anew: " in run("keys", "passphrase", gym, passphrase=secret)
    with pytest.raises(KeysLocked):
        run("keys", "rotate", gym, "http", passphrase=secret)
    secret = passphrase_file(tmp_path, OTHER)
    for wrong in (("--since", "yesterday"), ("--since", "2027-03-05T18:00"), ("--since", "1", "--reason", "boredom")):
        with pytest.raises(SettingsInvalid):
            run("keys", "revoke", gym, "claim", *wrong, passphrase=secret)
    with pytest.raises(SettingsInvalid, match="no such role"):
        run("keys", "rotate", gym, "root", passphrase=secret)
    assert run("fingerprint", gym) == before
    assert "another now" in run("keys", "rotate", gym, "identity", passphrase=secret)
    assert run("fingerprint", gym) != before
    run("keys", "remove", gym, app_key.split()[0])
    with pytest.raises(SettingsInvalid, match="no app key"):
        run("keys", "remove", gym, app_key.split()[0])


def test_a_partner_is_removed_and_the_version_is_told(tmp_path: Path) -> None:
    made(tmp_path / "gym", None)
    made_other = create_node(
        tmp_path / "ins", host="insurer.example", url="http://i", bind="a:1", sandbox=True, clock=CLOCK
    )
    descriptor = tmp_path / "ins" / "descriptor.jwt"
    run("partner", "add", tmp_path / "gym", descriptor, "--fingerprint", made_other.fingerprint)
    assert "insurer.example" in run("partner", "list", tmp_path / "gym")
    run("partner", "remove", tmp_path / "gym", "insurer.example")
    assert run("partner", "list", tmp_path / "gym") == ""
    assert run("--version").startswith("tallystick ")
