"""The clock of the story, and nodes as processes of their own, as an operator starts them.

A process is always stopped by whoever started it, also when the story stops early.
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from tallystick_node.config import CLOCK_VARIABLE
from tallystick_node.demo.errors import DemoNotRun
from tallystick_node.demo.proxy import LOOPBACK

STARTED_WITHIN_S = 40.0
STOPPED_WITHIN_S = 15.0
READY_TIMEOUT_S = 5.0
POLL_S = 0.05
NODE_LOG = "node.log"
"""What a node prints, beside its data and not in its published log."""


class StoryClock:
    """The time of the story, in a file that every node reads; it only goes forward."""

    def __init__(self, path: Path, *, at_s: int) -> None:
        """Start at a time, in seconds since 1970-01-01 UTC."""
        self.path = path
        self._at_s = at_s
        self._write()

    def now_s(self) -> int:
        """Return whole seconds since 1970-01-01 UTC."""
        return self._at_s

    def go_to(self, at_s: int) -> None:
        """Set the time; a time that has passed already changes nothing."""
        if at_s > self._at_s:
            self._at_s = at_s
            self._write()

    def _write(self) -> None:
        # By a rename, so that a node reads the old time or the new one, and never half of either.
        fresh = self.path.with_suffix(".new")
        fresh.write_text(f"{self._at_s}\n", encoding="ascii")
        fresh.replace(self.path)


class NodeProcess:
    """One `tally-node serve`, or another command that serves a folder."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        clock_file: Path,
        command: Sequence[str] = ("serve",),
        ready_path: str = "/readyz",
    ) -> None:
        """Serve what is in `folder`, which listens on `port`; `start` starts it."""
        self._folder = folder
        self._command = [sys.executable, "-m", "tallystick_node.cli", *command, str(folder)]
        self._ready_path = ready_path
        self._port = port
        self._environment = {**os.environ, CLOCK_VARIABLE: str(clock_file.resolve())}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def id(self) -> int:
        """The id of the running process."""
        assert self._process is not None, "asked of a node that was started"
        return self._process.pid

    def start(self) -> None:
        """Start it, and return at once."""
        with (self._folder / NODE_LOG).open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own command, on a folder we made
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        """Return once it says that it is ready.

        Raises:
            DemoNotRun: it ended, or does not say so in time.
        """
        until_s = time.monotonic() + STARTED_WITHIN_S
        while time.monotonic() < until_s:
            if self._process is None or self._process.poll() is not None:
                break
            if self._is_ready():
                return
            time.sleep(POLL_S)
        raise DemoNotRun(
            f"The node of {self._folder.name} did not start.", remedy=f"See {self._folder / NODE_LOG}, then try again."
        )

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=READY_TIMEOUT_S)
        try:
            connection.request("GET", self._ready_path)
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """End it as a power cut would: it gets no time to finish anything."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Ask it to finish, and end it if it does not."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOPPED_WITHIN_S)
        self.kill()


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
