"""Programs: each payer's names are its own, so nobody takes another's."""

from functools import partial
from pathlib import Path

import pytest
from town import fitness_program, town

from tallystick.errors import Conflict
from tallystick_node.flows.programs import logged_programs


def test_a_partner_that_takes_a_name_first_blocks_nobody(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        gym, insurer, eve = (story.company(f"{name}.example") for name in ("gym", "insurer", "eve"))
        eve.app().programs.publish(fitness_program(payer=eve.host))
        eve.app().programs.publish({**fitness_program(payer=eve.host, issuers=("insurer.example",)), "version": 2})
        story.settle()
        insurer.app().programs.publish(fitness_program(payer=insurer.host))
        story.settle()
        with pytest.raises(Conflict) as ambiguous:
            gym.app().programs.accept("ins-fit", 1)
        assert ambiguous.value.code == "program_ambiguous"
        accepted = gym.app().programs.accept("ins-fit", 1, payer=insurer.host)
        assert accepted.program["payer"] == insurer.host
        story.settle()
        offer = insurer.app().links.offer(
            subject="ana", partner=gym.host, program="ins-fit", hint="policy", login="aal2"
        )
        assert offer.offer.startswith("insurer.example~ins-fit~")
        with pytest.raises(Conflict):
            eve.app().links.offer(subject="ana", partner=gym.host, program="ins-fit", hint="policy", login="aal2")


def test_a_version_that_does_not_follow_the_last_is_told_which_one_does(tmp_path: Path) -> None:
    with town(tmp_path) as story:
        _, insurer = (story.company(f"{name}.example") for name in ("gym", "insurer"))
        for version, following in ((2, 1), (1, None), (1, 2), (3, 2)):
            document = {**fitness_program(payer=insurer.host), "version": version}
            if following is None:
                insurer.app().programs.publish(document)
                continue
            with pytest.raises(Conflict) as refused:
                insurer.app().programs.publish(document)
            told = (refused.value.code, refused.value.remedy)
            assert told == ("version_exists", f"Publish it as version {following}.")


def test_the_next_years_log_carries_programs_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    """By it an audit knows which of them somebody could be asked for beside which (P17)."""
    with town(tmp_path) as story:
        _, insurer = (story.company(f"{name}.example") for name in ("gym", "insurer"))
        came = [("walk", 1), ("swim", 1), ("walk", 2), ("ride", 1)]
        for name, version in came:
            document = {**fitness_program(payer=insurer.host), "program": name, "version": version}
            insurer.app().programs.publish(document)
        carried = insurer.node.writer.submit(partial(logged_programs, host=insurer.host)).result().value
        assert [(each.program, each.program_version) for each in carried] == came
