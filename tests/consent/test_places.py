"""Where entries stand: which company a log is of, by its origin alone."""

import pytest

from tallystick_consent.places import begun_as, host_of_log


@pytest.mark.parametrize("origin", ["gym.example/log/2027", "gym.example/log/2027-1", "gym.example/log/2027-999"])
def test_a_log_is_its_companys(origin: str) -> None:
    assert host_of_log(origin) == "gym.example"


@pytest.mark.parametrize(
    "origin",
    [
        "2027",
        "gym.example",
        "gym.example/log/",
        "gym.example/log/2027-0",
        "gym.example/log/2027-01",
        "gym.example/log/2027-1000",
        "gym.example/log/2027/log/2027",
        "gym.example/log/2027\n",
        "gym.example/logs/2027",
    ],
)
def test_another_text_is_no_log_of_anybodys(origin: str) -> None:
    assert host_of_log(origin) is None


def test_the_tenth_log_of_a_year_comes_after_the_second() -> None:
    names = ["2028", "2027-10", "2027-2", "2027"]
    logs = sorted((f"gym.example/log/{name}" for name in names), key=begun_as)
    assert [log.rpartition("/")[2] for log in logs] == ["2027", "2027-2", "2027-10", "2028"]
