"""Write and publish a log in a process of its own, and tell what that took; `bench.appending` runs it.

`python -m bench.measured FOLDER COUNT BATCH SINGLES`: COUNT entries, the first SINGLES of them appended alone.
"""

import json
import sys
from pathlib import Path

from bench import logs
from bench.resident import resident_max_bytes

DISTINCT = 1_000
"""Few, so that what is measured is the writer, and not the entries that wait for it."""


def main(folder: Path, *, count: int, batch: int, singles: int) -> dict[str, int]:
    """Write the log in `folder/log`; return its size in entries and bytes, and the memory this process took."""
    raws = logs.entries(DISTINCT)
    log = logs.NodeLog(folder, keeps_published=False)
    with log.publishing():
        at = 0
        while at < count:
            some = min(batch, count - at) if at >= singles else 1
            log.append_finished([raws[index % DISTINCT] for index in range(at, at + some)])
            at += some
    log.close()
    return {"entries": count, "entries_bytes": count * len(raws[0]), "resident_max_bytes": resident_max_bytes()}


if __name__ == "__main__":
    count, batch, singles = (int(each) for each in sys.argv[2:])
    print(json.dumps(main(Path(sys.argv[1]), count=count, batch=batch, singles=singles)))
