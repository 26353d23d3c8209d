"""What each company learned of the other's customers, and what it did not, in sentences.

What was learned is read from the recording; what was not is only said where a check behind it held.
"""

from dataclasses import dataclass

from tallystick.papers.trust import count
from tallystick_node.demo.crossed import crossed_claims
from tallystick_node.demo.story import Story
from tallystick_node.demo.town import Town


@dataclass(frozen=True, slots=True)
class Learned:
    """Sentences, by company."""

    learned: dict[str, list[str]]
    not_learned: dict[str, list[str]]


def what_was_learned(town: Town, story: Story) -> Learned:
    """Return what crossed and what did not."""
    claims = [each for each in crossed_claims(town.wire.exchanges(since=town.began)) if each.taken]
    insurer = [
        f"Of the person it knows as {_short(each.link)}: {each.statement} is {str(each.value).lower()} "
        f"(seen by: {each.assurance})"
        for each in claims
    ]
    insurer += [
        f"That {len(story.people)} of its customers are members of the gym and consented, each under another link",
        f"That Ana withdrew, and when (link {_short(story.ana.link)})",
        "By its silence: Ana did not reach twelve days in April, or the gym did not answer; the consent screen says so",
        "When each claim left, and how long the gym's whole ledger was then, all customers together: "
        + ", ".join(str(each.log_size) for each in claims)
        + " entries",
        "How long the gym's whole ledger is at each of its heads, which anybody may read and the insurer cosigns",
        "What each person knows the gym account by, for that person to see: "
        + ", ".join(f'"{person.gym_hint}"' for person in story.people),
    ]
    gym = [
        f"That {len(story.people)} of its members are customers of the insurer, in the program ins-fit",
        taken_of(len(claims), fee="$1.00"),
        "How long the insurer's whole ledger is at each of its heads, which anybody may read and the gym cosigns",
        "What each person knows the policy by, for that person to see: "
        + ", ".join(f'"{person.insurer_hint}"' for person in story.people),
    ]
    return Learned(
        learned={"gym": gym, "insurer": insurer},
        not_learned={
            "gym": [
                "The policy number, name or plan of anybody",
                "Whether a credit was paid, or how much is left in the budget",
            ],
            "insurer": [
                "How often, on which days, at what time, for how long or where anybody trained",
                "How many days Ana trained in March (it was told: at least twelve), in April or in May",
                "Anything of the days before she withdrew in May",
                "The gym's member id, name or e-mail address of anybody",
                *(["A single coordinate of the files that were imported"] if len(story.people) > 2 else []),
            ],
        },
    )


def taken_of(claim_count: int, *, fee: str) -> str:
    """Return that claims were taken, and what that earns, for what an issuer learned."""
    if claim_count == 1:
        return f"That 1 claim was taken, which earns it {fee}"
    return f"That {count(claim_count, 'claim')} were taken, each of which earns it {fee}"


def _short(link: str) -> str:
    return f"{link[:12]}..."
