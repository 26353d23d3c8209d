"""Change any one byte of any file of a log, and the audit finds it."""

from pathlib import Path

import pytest
from logs import publish
from story import tell

from tallystick.audit import DirectorySource, audit


@pytest.mark.parametrize("every", [17, pytest.param(1, marks=pytest.mark.long)])
def test_every_changed_byte_of_a_log_is_found(tmp_path: Path, every: int) -> None:
    gym, _ = tell()
    gym.cut("live")
    log = publish(tmp_path, gym.raws(), origin=gym.origin, sizes=(2,))
    assert audit([DirectorySource(str(log))]).holds
    unnoticed: list[str] = []
    for path in sorted(path for path in log.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        for at in range(0, len(whole), every):
            byte = whole[at]
            for changed in variations(byte, at):
                path.write_bytes(whole[:at] + bytes([changed]) + whole[at + 1 :])
                report = audit([DirectorySource(str(log))])
                if report.holds or not all(finding.where.startswith(str(log)) for finding in report.findings):
                    unnoticed.append(f"{path.relative_to(log)} byte {at}: {byte:#x} became {changed:#x}")
        path.write_bytes(whole)
    assert unnoticed == []
    assert audit([DirectorySource(str(log))]).holds


def variations(byte: int, at: int) -> set[int]:
    """Return other values: the lowest bit changed everywhere, and a newline, a space or a zero here and there."""
    sampled = {(0x0A, 0x20, 0x00, byte ^ 0x80, byte ^ 0x20)[at // 11 % 5]} if at % 11 == 0 else set[int]()
    return ({byte ^ 1} | sampled) - {byte}


def test_a_byte_more_or_less_is_found(tmp_path: Path) -> None:
    gym, _ = tell()
    log = publish(tmp_path, gym.raws(), origin=gym.origin, sizes=(3,))
    for path in sorted(path for path in log.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        for other in (whole[:-1], whole[1:], whole + b"\n", whole + b"\x00", b"\n" + whole, b"", whole * 2):
            path.write_bytes(other)
            assert not audit([DirectorySource(str(log))]).holds, f"{path.name}: {len(whole)} became {len(other)} bytes"
        path.write_bytes(whole)
