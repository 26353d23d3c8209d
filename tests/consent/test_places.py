"""Where entries stand: which company a log is of, by its origin alone."""

import pytest

from tallystick_consent.places import host_of_log


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
