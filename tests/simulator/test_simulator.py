"""A thousand seeds of the simulated world keep P1, P2, P10 and P12; and a world whose guards are taken away does not.

A failure names its seed: `PYTHONPATH=tests python -m simulator --first SEED --seeds 1` lives through it again.
"""

import logging
from collections.abc import Callable, Iterator

import pytest

from simulator import world
from simulator.model import Breach
from simulator.world import STEPS, Ground, run
from tallystick_ledger.tlog import witness as judgement
from tallystick_node.log import own_heads, writer

SEEDS = 1_000
PARTS = 10
UNLUCKY_SEEDS = 15
FOUND_WITHIN = 100
"""How many seeds it may take to find what a missing guard lets through."""


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    made = Ground(tmp_path_factory.mktemp("ground"))
    logging.disable(logging.CRITICAL)  # it is said a thousand times that something was tried
    yield made
    logging.disable(logging.NOTSET)
    made.close()


@pytest.mark.parametrize("part", range(PARTS))
def test_seeds_hold(ground: Ground, part: int) -> None:
    for seed in range(part * SEEDS // PARTS, (part + 1) * SEEDS // PARTS):
        run(seed, ground)


def test_a_seed_tells_one_story(ground: Ground) -> None:
    for seed in (7, 8):
        assert run(seed, ground) == run(seed, ground)


def publish_before_flush(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(world.Disk, "flush", lambda _self: None)


def ask_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(own_heads, "contradicting", lambda *_args, **_more: None)


def let_time_run_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(writer, "steady_s", lambda now_s, _last_s: now_s)


def cosign_anything(patch: pytest.MonkeyPatch) -> None:
    """A witness cosigns whatever a log signs, and the log asks nobody first: of two guards, either holds alone."""
    ask_nobody(patch)
    patch.setattr(judgement, "check_consistency", lambda *_args, **_more: None)


BROKEN = (publish_before_flush, ask_nobody, cosign_anything, let_time_run_back)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_a_missing_guard_is_found(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, broken: Callable[[pytest.MonkeyPatch], None]
) -> None:
    broken(monkeypatch)

    def run_all() -> None:
        for seed in range(FOUND_WITHIN):
            run(seed, ground, steps=2 * STEPS, unlucky=True)

    with pytest.raises(Breach) as found:
        run_all()
    assert any("seed " in note for note in found.value.__notes__)


def test_an_unlucky_world_holds_as_well(ground: Ground) -> None:
    for seed in range(UNLUCKY_SEEDS):
        run(seed, ground, steps=2 * STEPS, unlucky=True)
