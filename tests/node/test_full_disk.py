"""A disk that fills up in the middle of a tile: publication waits, no head covers what is torn, and it recovers."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from town import Company, Town, town

from tallystick.audit import DirectorySource, audit
from tallystick_node.errors import StoreUnavailable

SMALL, LARGE = "size=64k", "size=8m"


def mounted(folder: Path, option: str, *, again: bool = False) -> bool:
    """Mount a file system of that size over a folder; return whether that may be done here."""
    options = f"remount,{option}" if again else option
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture
def gym(tmp_path: Path) -> Iterator[Company]:
    """A gym whose published log lies on a very small disk of its own."""
    with town(tmp_path) as story:
        company = found(story)
        if not mounted(company.log, SMALL):
            pytest.skip("this needs to mount a file system")
        try:
            company.start()
            yield company
            company.stop()
        finally:
            subprocess.run(["umount", str(company.log)], capture_output=True, timeout=20, check=False)


def found(story: Town) -> Company:
    company = story.company("gym.example")
    company.stop()
    return company


def test_publication_waits_while_the_disk_is_full_and_goes_on_when_there_is_room(gym: Company) -> None:
    def write() -> None:
        for _ in range(40):
            gym.node.writer.submit(lambda transaction: transaction.append("event", {"commitment": "A" * 43}))
        gym.node.writer.submit(lambda _transaction: None).result()

    def fill() -> None:
        for _ in range(100):
            write()
            gym.node.publisher.publish()

    with pytest.raises(StoreUnavailable):
        fill()
    stood = (gym.log / "checkpoint").read_bytes()
    # The head that stands covers whole files; what was torn lies beyond it, and is served to nobody.
    findings = audit([DirectorySource(str(gym.log))]).findings
    assert {finding.rule for finding in findings} <= {"log.unexpected_file"}, findings
    write()  # what is recorded is in the database, and waits
    with pytest.raises(StoreUnavailable):
        gym.node.publisher.publish()
    assert (gym.log / "checkpoint").read_bytes() == stood
    gym.stop()
    gym.start()  # a start changes nothing about it
    assert (gym.log / "checkpoint").read_bytes() == stood
    assert mounted(gym.log, LARGE, again=True)
    gym.work()
    assert gym.node.publisher.published_size == gym.node.publisher.committed().size
    report = audit([DirectorySource(str(gym.log))])
    assert report.holds, report.findings
