"""Nodes in processes of their own, started in a fraction of a second: forked from one that has imported everything.

As a script it reads a line of JSON for each node to start, forks, and answers with a line: the child's process id, then
(when asked to wait) how it ended. A child that publishes can be told to die at its n-th step on the file system, which
is as near as a process comes to a power failure between two of them.
"""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

DIED = 9
WROTE_IN_PLACE = 10
"""It would have written over a file that was published, which no power failure should find half written."""

IMPORTED = (
    "tallystick_node.cli",
    "anyio._backends._asyncio",
    "httpcore",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)
"""What a node imports by the time it serves."""

STEPS = ("os.mkdir", "os.rename", "os.remove", "os.rmdir")


class Forks:
    """Starts nodes and waits for their end; one at a time."""

    def __init__(self, *, errors: Path, environment: dict[str, str] | None = None) -> None:
        """Start the process that the nodes are forked from.

        Args:
            errors: where everything goes that a node prints.
            environment: what nodes find there besides our own.
        """
        with errors.open("ab") as stream:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
                env={**os.environ, **(environment or {})},
            )

    def serve(self, folder: Path) -> int:
        """Start serving a node, as `tally-node serve` does; return its process id."""
        return self._ask("serve", str(folder), 0)

    def publish(self, folder: Path, *, steps: int) -> bool:
        """Open a node, publish, and die before that step; return whether it came to its end before."""
        self._ask("publish", str(folder), steps)
        ended = self.wait()
        assert ended in (0, DIED), f"a publishing node ended with {ended}"
        return ended == 0

    def dies(self, what: str, folder: Path, file: Path, *, steps: int) -> bool:
        """Run `backup` or `restore`, and die before that step; return whether it did, and had not ended before."""
        self._ask(what, f"{folder}\n{file}", steps)
        ended = self.wait()
        assert ended in (0, DIED), f"{what} ended with {ended}"
        return ended == DIED

    def wait(self) -> int:
        """Return how the last one that was started ended: its exit code, or minus the signal that killed it."""
        return self._ask("wait", "", 0)

    def _ask(self, *request: object) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=30)


def serve(folder: Path) -> None:
    from tallystick_node import cli

    cli.serve(folder)


def publish(folder: Path, steps: int) -> None:
    from tallystick_node.clock import SystemClock
    from tallystick_node.setup import open_node

    node = open_node(folder, clock=SystemClock())
    left = steps
    published = {str(path) for path in (folder / "log").rglob("*")}

    def count(event: str, values: tuple[Any, ...]) -> None:
        nonlocal left
        opened = event == "open" and isinstance(values[2], int) and values[2] & (os.O_WRONLY | os.O_RDWR)
        if (event in STEPS or opened) and str(folder / "log") in str(values[0]):
            if opened and str(values[0]) in published:
                os._exit(WROTE_IN_PLACE)
            left -= 1
            if left < 0:
                os._exit(DIED)

    sys.addaudithook(count)
    node.publisher.publish()
    node.close()


def back_up_or_restore(what: str, folder: Path, file: Path, steps: int) -> None:
    """Die before the n-th file is opened to write, linked, renamed or removed, or the n-th rows are put in."""
    from tallystick_node.backups import rows
    from tallystick_node.cli.backups import backup, restore

    left, put = steps, rows._put

    def step() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os._exit(DIED)

    def counted(*values: Any) -> None:
        step()
        put(*values)

    def heard(event: str, values: tuple[Any, ...]) -> None:
        opened = event == "open" and isinstance(values[2], int) and values[2] & (os.O_WRONLY | os.O_RDWR)
        if opened or event in (*STEPS, "os.link"):
            step()

    os.dup2(2, 1)  # what it prints is not for whoever asked
    rows._put = counted
    sys.addaudithook(heard)
    (backup if what == "backup" else restore)(folder, file)


def main() -> None:
    for name in IMPORTED:
        import_module(name)
    child = 0
    for line in sys.stdin:
        what, folder, steps = json.loads(line)
        if what == "wait":
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            continue
        child = os.fork()
        if child == 0:
            ended = 1
            try:
                if what in ("backup", "restore"):
                    named, file = folder.split("\n")
                    back_up_or_restore(what, Path(named), Path(file), steps)
                else:
                    publish(Path(folder), steps) if what == "publish" else serve(Path(folder))
                ended = 0
            except BaseException:  # noqa: BLE001  # printed for the test to find
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(ended)
        print(child, flush=True)


if __name__ == "__main__":
    main()
