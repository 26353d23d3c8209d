"""An external signer, a real process: a node works with keys it never holds, and says so when the signer is gone."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from places import ROOT
from seeds import seeds_of

from tallystick.audit import DirectorySource, audit
from tallystick_ledger.public_keys import ROLES, Role
from tallystick_node.clock import SetClock
from tallystick_node.errors import SettingsInvalid, SignerUnavailable
from tallystick_node.jobs import open_log
from tallystick_node.keys.changes import rotate_key
from tallystick_node.keys.external import ANSWER_SIZE_MAX_BYTES, SIGNER_TIMEOUT_S, SILENT_FOR_S, SignerClient
from tallystick_node.keys.ring import SIGNER_ROLES, load_keys
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.problems import status_of
from tallystick_node.setup import create_node, open_key_folder, open_node

NOW_S = 1_800_000_000
CLOCK = SetClock(NOW_S)
SIGNER = ROOT / "tests" / "reference_signer.py"
DIGEST = "A" * 43


def command(folder: Path) -> str:
    return f"exec:{sys.executable} {SIGNER} {folder}"


@pytest.fixture
def safe(tmp_path: Path) -> Path:
    """Where the signer keeps its keys."""
    folder = tmp_path / "safe"
    folder.mkdir()
    return folder


@pytest.fixture
def node(tmp_path: Path, safe: Path) -> Iterator[Node]:
    """A node whose log and claim keys are at the signer."""
    create_node(
        tmp_path / "gym",
        host="gym.example",
        url="http://gym",
        bind="a:1",
        sandbox=True,
        clock=CLOCK,
        signer=command(safe),
        at_signer=("log", "claim", "log-pq"),
    )
    opened = open_node(tmp_path / "gym", clock=CLOCK)
    yield opened
    opened.close()


def record(node: Node) -> None:
    def work(transaction: Transaction) -> None:
        open_log(node, transaction)
        transaction.append("event", {"commitment": DIGEST})

    node.writer.submit(work).result(20)


def test_a_node_writes_and_publishes_with_keys_that_never_are_in_its_process(node: Node, safe: Path) -> None:
    record(node)
    assert node.publisher.publish()
    node.say_who_signs()
    assert audit([DirectorySource(str(node.folder / "log"))]).holds
    assert node.keys.ed25519("claim").sign(b"a claim")
    assert set(seeds_of(node.keys)) == set(ROLES) - {"log", "claim", "log-pq"}
    for role in ("log", "claim", "log-pq"):
        assert not (node.folder / "keys" / f"{role}.key").exists()
        with pytest.raises(SignerUnavailable):
            cast(object, node.keys.private[node.keys.id(cast(Role, role))]).private_bytes_raw()  # type: ignore[attr-defined]
        seed = (safe / role).read_bytes()
        assert not [path for path in node.folder.rglob("*") if path.is_file() and seed in path.read_bytes()]


def test_a_signer_that_is_rotated_gives_the_new_key_and_still_signs_with_the_old(node: Node, safe: Path) -> None:
    record(node)
    old = node.keys.id("log")
    with open_key_folder(node.folder, clock=CLOCK) as place:
        with pytest.raises(SettingsInvalid, match="used before"):
            rotate_key(place, "log", overlap_days=7)
        (safe / "log").write_bytes(os.urandom(32))
        assert rotate_key(place, "log", overlap_days=7).id("log") != old
    assert {key.id for key in load_keys(node.folder / "keys", signer=SignerClient(command(safe))).ring.keys} > {old}
    node.refresh_keys()
    node.keys.ed25519("log").sign(b"a head")
    assert len(node.keys.log_signers("gym.example/log/2027", now_s=NOW_S)) == 2


def test_a_signer_that_lies_is_not_believed_and_nothing_is_written(node: Node, safe: Path) -> None:
    record(node)
    (safe / "lie").touch()
    for _ in range(2):
        with pytest.raises(SignerUnavailable, match="not a signature"):
            record(node)
    with pytest.raises(SignerUnavailable, match="not a signature"):
        node.publisher.publish()
    (safe / "lie").unlink()
    record(node)
    assert node.publisher.publish()
    assert node.publisher.published_size == 3, "what was refused has left nothing behind"


def test_a_dead_signer_is_a_typed_refusal_for_everybody_in_the_queue(tmp_path: Path, node: Node) -> None:
    record(node)
    (tmp_path / "safe" / "sulk").touch()
    running = cast(SignerClient, node._key_folder.signer)._process
    assert running is not None
    running.kill()
    running.wait(10)
    (tmp_path / "safe" / "sulk").unlink()
    with pytest.raises(SignerUnavailable) as refused:
        record(node)
    assert status_of(refused.value) == 503
    record(node)  # the command was started again
    assert node.publisher.publish()


def test_a_node_starts_without_its_signer_and_refuses_to_write(tmp_path: Path, node: Node) -> None:
    node.close()
    settings = tmp_path / "gym" / "node.toml"
    settings.write_text(settings.read_text().replace(str(SIGNER), "nothing.py"))
    opened = open_node(tmp_path / "gym", clock=CLOCK)
    with pytest.raises(SignerUnavailable):
        record(opened)
    assert not opened.publisher.publish()
    opened.close()
    settings.write_text(
        "".join(line for line in settings.read_text().splitlines(True) if not line.startswith("signer"))
    )
    with pytest.raises(SettingsInvalid, match="settings name none"):
        open_node(tmp_path / "gym", clock=CLOCK)


def test_a_node_that_cannot_reach_its_signer_is_not_made(tmp_path: Path) -> None:
    named = {"host": "gym.example", "url": "http://gym", "bind": "a:1", "sandbox": True, "clock": CLOCK}
    with pytest.raises(SignerUnavailable):
        create_node(tmp_path / "a", **named, signer="unix:/nowhere", at_signer=("log",))  # type: ignore[arg-type]
    with pytest.raises(SettingsInvalid, match="cannot be at"):
        create_node(tmp_path / "b", **named, signer="unix:/nowhere", at_signer=("seal",))  # type: ignore[arg-type]
    with pytest.raises(SettingsInvalid, match="name none"):
        create_node(tmp_path / "c", **named, at_signer=("log",))  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["", "unix:", "exec:", "tcp:1", "unix", "exec:sign 'with a quote"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(SettingsInvalid):
        SignerClient(address)


def test_a_signer_listens_on_a_socket(tmp_path: Path, safe: Path) -> None:
    path = tmp_path / "s"
    process = subprocess.Popen([sys.executable, str(SIGNER), str(safe), "--socket", str(path)])
    client = SignerClient(f"unix:{path}")
    try:
        while not path.exists():
            assert process.poll() is None
        assert len(client.public("log")) == 32
        assert len(client.public("log-pq")) == 1312
    finally:
        client.close()
        process.kill()
        process.wait(10)


# Against a signer that says whatever a test likes


class Puppet:
    """Listens on a Unix socket and answers each line with the next of its answers; None: it says nothing.

    A second line on one connection is answered with `late`, as if that were what the first one waited for.
    """

    def __init__(self, path: Path, answers: list[bytes | None], *, late: bytes | None = None) -> None:
        self.asked = 0
        self._late = late
        self._answers = answers
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                for number, _ in enumerate(lines):
                    said = self._answers[min(self.asked, len(self._answers) - 1)]
                    said = self._late if number and self._late else said
                    self.asked += 1
                    if said is not None:
                        try:
                            connection.sendall(said)
                        except OSError:
                            break

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)


@pytest.mark.parametrize(
    "said",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"no\n",
        b'{"error":"no such key"}\n',
        b'{"public":1}\n',
        b'{"public":"="}\n',
        b'{"public":"AAAA"}\n',
        b'{"public":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}\n',
        b'{"public":"AAAA"}\n{"public":"AAAA"}\n',
        b"x" * (ANSWER_SIZE_MAX_BYTES + 1) + b"\n",
        b"\xff\xfe\n",
    ],
    ids=lambda said: repr(said[:24]),
)
def test_an_answer_that_is_none_is_refused(tmp_path: Path, said: bytes) -> None:
    puppet = Puppet(tmp_path / "s", [said])
    client = SignerClient(f"unix:{tmp_path / 's'}")
    try:
        with pytest.raises(SignerUnavailable):
            client.public("log")
    finally:
        client.close()
        puppet.close()


def test_a_silent_signer_is_waited_for_once_and_not_asked_again_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallystick_node.keys.external.SIGNER_TIMEOUT_S", 0.2)
    good = b'{"signature":"AAAA"}\n'
    puppet = Puppet(tmp_path / "s", [None, good])
    times = iter([0.0, 0.0, 0.0, 0.1, 0.3, 1.0, SILENT_FOR_S + 0.2, *[SILENT_FOR_S + 1] * 9])
    client = SignerClient(f"unix:{tmp_path / 's'}", monotonic_s=lambda: next(times))
    try:
        for problem in ("does not answer", "a moment ago"):
            with pytest.raises(SignerUnavailable, match=problem):
                client.sign("log-00000000", b"")
        assert puppet.asked == 1
    finally:
        client.close()
        puppet.close()


def test_a_signer_whose_connection_took_all_the_time_is_asked_nothing(tmp_path: Path) -> None:
    puppet = Puppet(tmp_path / "s", [b'{"signature":"AAAA"}\n'])
    times = iter([0.0, 0.0, *[SIGNER_TIMEOUT_S] * 3])
    client = SignerClient(f"unix:{tmp_path / 's'}", monotonic_s=lambda: next(times))
    try:
        with pytest.raises(SignerUnavailable, match="does not answer"):
            client.sign("log-00000000", b"")
        assert puppet.asked == 0
    finally:
        client.close()
        puppet.close()


def test_what_a_late_answer_said_is_never_taken_for_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was not answered in time gives the connection up: what still comes on it answers nobody."""
    monkeypatch.setattr("tallystick_node.keys.external.SIGNER_TIMEOUT_S", 0.2)
    monkeypatch.setattr("tallystick_node.keys.external.SILENT_FOR_S", 0.0)
    puppet = Puppet(tmp_path / "s", [None, b'{"signature":"AAAC"}\n'], late=b'{"signature":"AAAB"}\n')
    client = SignerClient(f"unix:{tmp_path / 's'}")
    try:
        with pytest.raises(SignerUnavailable):
            client.sign("log-00000000", b"one")
        assert client.sign("log-00000000", b"two") == b"\0\0\2"
    finally:
        client.close()
        puppet.close()


def test_every_signing_role_can_be_at_a_signer() -> None:
    assert set(SIGNER_ROLES) == set(ROLES) - {"seal"}
