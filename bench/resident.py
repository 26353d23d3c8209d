"""What a process of its own takes in memory; modules that are run as one tell it."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def told(module: str, *words: object) -> dict[str, Any]:
    """Run a module with these words in a process of its own; return what it tells."""
    command = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def resident_max_bytes() -> int:
    """Return the most memory that this process had resident so far.

    Not `ru_maxrss` where there is another way: on Linux that goes on over fork and exec, and so tells of the process
    that started this one.

    Source: proc(5), VmHWM; getrusage(2).
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (line,) = (each for each in status.read_text().splitlines() if each.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
