"""Audit logs together in a process of its own, and tell what that took in memory; `bench.auditing` runs it.

`python -m bench.audited MB FOLDER...`: within about MB.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.harness import require
from bench.resident import resident_max_bytes
from tallystick.audit import Asked, DirectorySource, Overflow, audit


def main(folders: Sequence[Path], *, memory_mb: int) -> dict[str, int]:
    """Audit the logs in these folders together; return their entries, and the memory this process took."""
    with Overflow.within(memory_mb) as overflow:
        report = audit([DirectorySource(str(folder / "log")) for folder in folders], asked=Asked(overflow=overflow))
    require(report.holds, "The audit finds something wrong with ledgers that hold.")
    return {"entries": sum(each.size for each in report.sources), "resident_max_bytes": resident_max_bytes()}


if __name__ == "__main__":
    print(json.dumps(main([Path(each) for each in sys.argv[2:]], memory_mb=int(sys.argv[1]))))
