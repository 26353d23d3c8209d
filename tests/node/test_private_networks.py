"""A partner's descriptor may name any host: a live node goes where it leads only if that is a public address, or one of
a network that its operator named."""

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError
from town import Company, Town, fitness_program, town

from tallystick.reaching import AddressRefused, is_public
from tallystick_node.config import Settings, load_settings, parse_settings


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path) as made:
        yield made


def calls_only(company: Company, networks: list[str]) -> None:
    """Start the company again with a setting; what it sends goes over its own connections, and not over a test's."""
    company.stop()
    settings = load_settings(company.folder).model_copy(update={"private_networks": networks})
    (company.folder / "node.toml").write_text(settings.text())
    company.recorder = None  # type: ignore[assignment]
    company.start()


@pytest.mark.long
def test_what_is_for_a_partner_at_a_private_address_waits_until_its_network_is_named(
    story: Town, caplog: pytest.LogCaptureFixture
) -> None:
    gym, insurer = story.company("gym.example"), story.company("insurer.example")
    calls_only(insurer, ["10.20.0.0/16"])
    with caplog.at_level(logging.WARNING, "tallystick_node.outbox"):
        insurer.app().programs.publish(fitness_program())
        story.settle()
    assert "address_refused" in caplog.text
    assert gym.app().programs.list().programs == ()
    with pytest.raises(httpx.ConnectError) as refused:  # as published logs, witnesses and status lists are fetched
        insurer.node.http.get(f"{gym.url}/healthz")
    assert isinstance(refused.value.__cause__, AddressRefused)

    calls_only(insurer, ["127.0.0.0/8"])
    story.clock.at_s += 3_600
    story.settle()
    assert len(gym.app().programs.list().programs) == 1
    assert insurer.node.http.get(f"{gym.url}/healthz").status_code == 200


def settings(*, sandbox: bool, **more: object) -> Settings:
    told = {"host": "gym.example", "url": "https://gym.example", "bind": "127.0.0.1:1", "log_year": 2027}
    return Settings.model_validate({**told, "sandbox": sandbox, **more})


def test_a_live_node_calls_public_addresses_and_a_sandbox_any() -> None:
    assert settings(sandbox=False).may_reach is is_public
    assert settings(sandbox=True).may_reach is None
    may = settings(sandbox=True, private_networks=[]).may_reach
    assert may is not None
    assert not may("127.0.0.1")


def test_the_setting_is_kept_as_it_was_written_and_where_it_is_absent_stays_so() -> None:
    named = settings(sandbox=False, private_networks=["10.20.0.0/16", "fd00:1::/32"])
    assert parse_settings(named.text().encode()) == named
    assert "private_networks" not in settings(sandbox=False).text()


@pytest.mark.parametrize("network", ["10.20.3.4/16", "example.org", "10.0.0.0/33", ""])
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(ValidationError):
        settings(sandbox=False, private_networks=[network])
