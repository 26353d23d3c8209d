"""The first cut of the second journey: steps to a savings tier, act by act, as `story` has the first.

An activity app tells a bank in which band somebody's average steps of a month lie, and no figure. What the
tier earns in interest comes later.

Source: SCENARIOS section 3 (3.01).
"""

from collections.abc import Sequence
from datetime import datetime

from tallystick.importing.tables import steps_events, steps_key
from tallystick.journeys import home_set
from tallystick.wire import EntryProof, Erasure, Explanation
from tallystick_node.demo.crossed import crossed_claims
from tallystick_node.demo.erasing import erase
from tallystick_node.demo.joining import agree_on, join
from tallystick_node.demo.learned import Learned, taken_of
from tallystick_node.demo.people import NEW_YORK, ZONE
from tallystick_node.demo.screen import Screen
from tallystick_node.demo.town import LONG_TICK_MAX_S, Town
from tallystick_node.demo.walkers import PROGRAM, RATES, Walker, ana, ben

PROGRAM_NAME = "pace-tier"
MARCH = "2027-03"


class SavingsStory:
    """The acts; each begins where the one before ended."""

    def __init__(self, town: Town, screen: Screen, real: Walker | None) -> None:
        """Play in `town`; `real` walks as a real file says, where a data folder was given."""
        self._town = town
        self._screen = screen
        self._days_of_ana: dict[str, tuple[EntryProof, ...]] = {}
        self.erased: Erasure | None = None
        self.walkers = [ana(), ben(), *([real] if real else [])]
        for walker in self.walkers:
            town.private.person(walker.person)
            self._keep_private(walker)

    def play(self) -> None:
        """Play every act.

        Raises:
            StoryStopped: the companies did not do what the story needs next.
            TallyError: a node refused what it should take, or its reply did not verify.
        """
        self._agree()
        self._walk()
        self._close()
        self._erase()

    def _agree(self) -> None:
        town, screen = self._town, self._screen
        screen.scene("Another journey: an activity app and a bank agree", "27 February 2027")
        tried = town.issuer.app.programs.try_out(PROGRAM, ["2027-01"])
        agree_on(town, PROGRAM)
        bank, app = town.payer.host, town.issuer.host
        screen.step(f'The bank ({bank}) publishes "{PROGRAM["title"]}"; the activity app ({app}) signs it.')
        screen.step(f'What it costs, in the rule\'s own words: "{" ".join(tried.learns)}"')
        for walker in self.walkers:
            self._join(walker)
        names = ", ".join(each.person.name.split()[0] for each in self.walkers)
        screen.step(f"{names} link both accounts, say yes, and tell the app which time zone is home.")

    def _join(self, walker: Walker) -> None:
        town, person = self._town, walker.person
        join(town, person, PROGRAM_NAME)
        kind, data = home_set(time_zone=ZONE, since=datetime.fromtimestamp(town.clock.now_s(), NEW_YORK))
        town.private.issuer.add(data["since"])
        town.issuer.app.events.record(subject=person.at_gym, type=kind, data=data)

    def _walk(self) -> None:
        town, screen = self._town, self._screen
        screen.scene("March: everybody walks", "the trackers are read on 2 April 2027")
        town.go_to("2027-04-02 10:00")
        before = town.wire.count()
        for walker in self.walkers:
            events = self._record(walker)
            if walker is self.walkers[0]:
                self._days_of_ana = events
                screen.check(
                    "P10", "Ana's tracker is read twice: 31 events and no more.", events == self._record(walker)
                )
            if walker.from_file:
                left = sum(each.agrees is False for each in walker.days)
                screen.step(
                    f"{walker.person.name.split()[0]}'s 31 days are a real tracker's, MOVED to March 2027; "
                    f"{left} of them disagree with their own hours, and will not count."
                )
        town.rest()
        screen.check("P3", "While they walk, no message crosses.", not town.wire.messages(since=before))

    def _record(self, walker: Walker) -> dict[str, tuple[EntryProof, ...]]:
        """Record each of somebody's days; return the events' ids, each with what proves it."""
        subject, record = walker.person.at_gym, self._town.issuer.app.events.record
        recorded = [
            record(subject=subject, type=kind, data=data, idempotency_key=steps_key(day, subject, source="watch"))
            for day, (kind, data) in zip(walker.days, steps_events(walker.days, zone=ZONE, source="watch"), strict=True)
        ]
        return {each.event: each.proofs for each in recorded}

    def _close(self) -> None:
        town, screen = self._town, self._screen
        screen.scene("March closes", "4 April 2027, once it has closed in the last zone on Earth")
        before = town.wire.count()
        told = [each for each in self.walkers if each.is_told()]
        town.go_to("2027-04-04 08:01")
        town.wait("the claims are issued", lambda: len(list(town.issuer.app.claims.each())) == len(told))
        town.go_to("2027-04-05 08:01")
        town.wait(
            "the bank has taken the claims",
            lambda: len(list(town.payer.app.claims.each())) == len(told),
            tick_max_s=LONG_TICK_MAX_S,
        )
        town.wait(
            "the activity app knows that",
            lambda: {each.state for each in town.issuer.app.claims.each()} == {"delivered"},
        )
        town.rest()
        crossed = crossed_claims(town.wire.exchanges(since=before))
        held = {each.receipt: each.band for each in town.payer.app.claims.each()}
        for walker in told:
            band, (said,) = walker.band(), [each for each in crossed if each.receipt == walker.person.receipt]
            screen.step(
                f'What crosses of {walker.person.name.split()[0]}: "{said.statement}". '
                f"The bank's own table makes that {RATES[band - 1]} % in April."
            )
            screen.check(
                "P7",
                f"One claim, and it names the band that plain arithmetic finds: {band}.",
                held.get(walker.person.receipt) == band and said.statement == f"steps.average({MARCH}) in band {band}",
            )
        silent = [each for each in self.walkers if each not in told]
        screen.check(
            "P3",
            "Of Ben, who walked too little, nothing crosses.",
            not {each.person.receipt for each in silent} & {each.receipt for each in crossed} and len(silent) == 1,
        )
        self._explain(told, silent)

    def _erase(self) -> None:
        self._screen.scene("Ana asks the activity app to forget her", "6 April 2027")
        self._town.go_to("2027-04-06 10:00")
        self.erased = erase(
            self._town, self._screen, self.walkers[0].person, self._days_of_ana, then="2027-04-07 10:05"
        )

    def _explain(self, told: Sequence[Walker], silent: Sequence[Walker]) -> None:
        yes, no = self._why(told[0]), self._why(silent[0])
        self._screen.step(
            f'Ana can read why: rule {yes.rule}, {yes.counted} days counted, "{yes.told}", under {yes.receipt[:12]}...'
        )
        self._screen.check(
            "P14",
            "The app can tell each why: by which rule, what counted, what was told; or that nothing was.",
            (yes.kind, yes.counted, yes.band, yes.receipt) == ("answer", 31, 4, told[0].person.receipt)
            and (no.kind, no.told, no.claim) == ("silence", "", ""),
        )

    def _why(self, walker: Walker) -> Explanation:
        found = self._town.issuer.app.decisions.why(walker.person.at_gym).explanations
        return next(each for each in found if each.period == MARCH)

    def _keep_private(self, walker: Walker) -> None:
        """Count in every day of somebody's steps, their sum and their average."""
        private, total = self._town.private, sum(each.steps for each in walker.days)
        private.issuer |= {str(each.steps) for each in walker.days} | {str(total), str(total // len(walker.days))}
        for _, data in steps_events(walker.days, zone=ZONE, source="watch"):
            private.issuer |= {data["started_at"], data["ended_at"]}


def what_was_learned(town: Town, story: SavingsStory) -> Learned:
    """Return what crossed and what did not."""
    claims = [each for each in crossed_claims(town.wire.exchanges(since=town.began)) if each.taken]
    people = len(story.walkers)
    erased = story.erased
    kept = [] if erased is None else [f"{each.field} ({each.ground})" for each in erased.fields if each.fate == "kept"]
    return Learned(
        learned={
            town.payer.name: [
                *(f"Of the person it knows as {each.link[:12]}...: {each.statement}" for each in claims),
                f"That {people} of its customers use the activity app and consented, each under another link",
                f"That Ana is to be forgotten. What it keeps, by its own signed word: {', '.join(kept) or 'nothing'}",
                "By its silence: one is in the lowest band, or too few days were told; the consent screen says so",
            ],
            town.issuer.name: [
                f"That {people} of its customers save at the bank, in the program {PROGRAM_NAME}",
                taken_of(len(claims), fee="$0.10"),
                "What is left of Ana, who was erased: places in its ledger that name nobody, whose proofs still verify",
            ],
        },
        not_learned={
            town.payer.name: [
                "The steps of a single day, their sum or their average",
                "Which device counted them, and where anybody lives or walks",
                "Anybody's id, name or e-mail address at the activity app",
            ],
            town.issuer.name: ["Anybody's account, balance, age or rate", "Whether a tier was set"],
        },
    )
