"""The scene that most of these tests share, founded once a file."""

from collections.abc import Iterator

import pytest
from hostile import Scene
from town import agree, consent, link, town


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Found the scene; a test that needs another person links one of its own."""
    with town(tmp_path_factory.mktemp("town")) as story:
        gym, track, insurer = (story.company(f"{name}.example") for name in ("gym", "track", "insurer"))
        agree(story, insurer, gym, track)
        ana = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
        yield Scene(story, gym, track, insurer, ana)
