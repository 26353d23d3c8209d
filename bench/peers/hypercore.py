"""npm's hypercore: an append-only log of blocks with a signed Merkle tree, by way of Node.js.

Installed by `make bench-peers`. Source: hypercore's README.
"""

import json
import shutil
import subprocess
from pathlib import Path

_SCRIPT = Path(__file__).with_suffix(".mjs")


def version(modules: Path) -> str | None:
    """Return the version that is installed below a folder; None where it, or Node.js, is not."""
    package = modules / "node_modules" / "hypercore" / "package.json"
    if shutil.which("node") is None or not package.is_file():
        return None
    return str(json.loads(package.read_text(encoding="utf-8"))["version"])


def append(modules: Path, folder: Path, entries: Path, *, count: int, batch: int) -> float:
    """Append blocks to a fresh core in a process of its own; return the seconds, its start left out.

    Args:
        modules: where it is installed.
        folder: where the core is to lie; not there yet.
        entries: blocks, each behind its length as two big-endian bytes.
        count: blocks to append.
        batch: blocks in one `append`, which is awaited before the next.
    """
    command = ["node", _SCRIPT, modules, folder, entries, str(count), str(batch)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout) / 1000
