"""What holds for the whole run: which database its nodes are on."""

import os

import databases
import pytest
from hypothesis import settings

# A busy machine is not a finding: no test says how long anything may take.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Start one PostgreSQL for all workers of a run that is to be on it."""
    if databases.ON_POSTGRES and not hasattr(config, "workerinput"):
        found = databases.server()
        if found is not None:
            os.environ[databases.SERVER_VARIABLE] = found.url


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On PostgreSQL, leave out what is about SQLite's own file; without a server, leave out everything and say so."""
    if not databases.ON_POSTGRES:
        return
    missing = databases.server() is None
    for item in items:
        if missing:
            item.add_marker(pytest.mark.skip(reason=databases.NO_SERVER))
        elif item.get_closest_marker("sqlite"):
            item.add_marker(pytest.mark.skip(reason="is about SQLite's own file"))


@pytest.fixture(scope="session")
def postgres() -> databases.Server:
    """A PostgreSQL; without one, the tests that ask for it say so and are skipped."""
    return databases.required_server()
