"""The README's tutorial does what it says: every block is run in its order, as a reader would type it."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

BLOCK = re.compile(r"^```(sh|python)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIMIT_S = 120


def free_port() -> str:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def script(tutorial: str) -> str:
    """Return the tutorial as one shell script, which stops at the first thing that fails."""
    lines = ["set -euo pipefail", "set -m", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for language, file, text in BLOCK.findall(tutorial):
        if language == "sh":
            lines.append(text)
        else:
            lines.append(f"cat > {file or 'step.py'} <<'BLOCK'\n{text}BLOCK")
            if not file:
                lines.append("python step.py")
    return "\n".join(lines)


@pytest.mark.long
def test_the_tutorial_runs_as_it_is_written(tmp_path: Path) -> None:
    tutorial = (ROOT / "README.md").read_text().partition("## A tutorial of ten minutes")[2]
    for port in ("8001", "8002"):
        tutorial = tutorial.replace(port, free_port())
    shutil.copytree(ROOT / "docs" / "examples", tmp_path / "docs" / "examples")
    commands = script(tutorial).replace(". .venv/bin/activate", "")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    run = subprocess.run(
        ["bash", "-c", commands], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "The insurer paid 20.00 USD, because of ins-fit@1." in run.stdout
    assert "issued, 12 visits counted" in run.stdout
