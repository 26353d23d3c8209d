"""Where tests find things: the repository, and the folder of published vectors beside it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


def shared(name: str) -> Path:
    """Return `name` in the shared folder, or skip the test, saying so, where a clone has no such folder."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs {path}, which is not part of the repository")
    return path
