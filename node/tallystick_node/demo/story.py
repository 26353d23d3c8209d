"""The journey of DESIGN's first story, act by act: what is done, what is waited for, and what is checked.

Companies act through the SDK, as their apps would; every reply is verified. Nothing here looks into a node.

Source: SCENARIOS section 1 (1.01, 1.03, 1.08, 1.16).
"""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar, cast

from tallystick.errors import Conflict, ConsentRefused
from tallystick.importing import visit_events, visit_key
from tallystick.journeys import membership_activated, visit
from tallystick.wire import Decision, EntryProof, Receipt, Reward
from tallystick_node.demo.crossed import CLAIMS, crossed_claims
from tallystick_node.demo.errors import StoryStopped
from tallystick_node.demo.joining import agree_on, join
from tallystick_node.demo.people import (
    ANA_APRIL,
    ANA_MARCH,
    ANA_MAY,
    BEN_MAY,
    CLUB,
    DANA_MAY,
    NEW_YORK,
    PROGRAM,
    ZONE,
    Person,
    ana,
    ben,
    dana,
    evening,
)
from tallystick_node.demo.screen import Screen
from tallystick_node.demo.town import LONG_TICK_MAX_S, Town
from tallystick_node.demo.workouts import RealWorkout

PROGRAM_NAME = "ins-fit"
WITHDRAWN = "/peer/v1/receipts/withdrawn"
ANSWERS_WITHIN_S = 5.0
"""How long a node may take to answer its own app while its partner is down, on a busy machine."""

_T = TypeVar("_T")


class Story:
    """The acts; each begins where the one before ended."""

    def __init__(self, town: Town, screen: Screen, workouts: list[RealWorkout]) -> None:
        """Play in `town`; `workouts` are there where a data folder was given."""
        self._town = town
        self._screen = screen
        self._workouts = workouts
        self.ana, self.ben, self.dana = ana(), ben(), dana()
        self.people = [self.ana, self.ben, *([self.dana] if workouts else [])]
        self.proofs: list[EntryProof] = []
        """Proofs the insurer gave its own app, of what it acknowledged."""
        self._confirmed: set[tuple[str, str]] = set()
        for person in self.people:
            town.private.person(person)
        for workout in workouts:
            town.private.issuer |= set(workout.positions)

    def play(self) -> None:
        """Play every act.

        Raises:
            StoryStopped: the companies did not do what the story needs next.
            TallyError: a node refused what it should take, or its reply did not verify.
        """
        self._agree()
        self._join(self.ana)
        self._march()
        self._april()
        self._may()
        self._june()

    # Acts

    def _agree(self) -> None:
        town, screen = self._town, self._screen
        screen.scene("Two companies agree", "27 February 2027")
        for company in (town.issuer, town.payer):
            screen.step(
                f"{company.host}: process {company.process.id}, public address {company.proxy.url}, "
                f"fingerprint {company.keys.fingerprint[:16]}... compared by two people"
            )
        self.proofs += agree_on(town, PROGRAM)
        screen.step('The insurer publishes "Twelve active days a month": $20.00 for the member, $1.00 for the gym.')
        screen.step("The gym signs it. Both ledgers hold it.")

    def _join(self, person: Person, *, quiet: bool = False) -> None:
        """Link, ask, consent, acknowledge."""
        town, screen = self._town, self._screen
        town.go_to("2027-03-31 10:00" if quiet else "2027-02-27 10:00")
        asked, shown, given = join(town, person, PROGRAM_NAME)
        self.proofs += asked.proofs
        if not quiet:
            screen.scene("Ana links her two accounts and says yes", "27 February 2027")
            screen.step(f"Neither company's id of her crosses: both call the link {person.link}.")
            screen.step(f'She reads: "{shown.notice.statement} {shown.notice.hidden}"')
            screen.step(f'And: "{shown.notice.silence}"')
            at_gym, at_insurer = (each.app.receipts.get(person.receipt) for each in (town.issuer, town.payer))
            screen.check(
                "P4",
                "Before any visit is recorded, both ledgers hold her receipt, signed by both companies.",
                at_gym.terms == at_insurer.terms == given.terms and at_insurer.state == "given",
            )

    def _march(self) -> None:
        town, screen = self._town, self._screen
        screen.scene("March: thirteen visits", "close of the month: 16 April 2027")
        before = town.wire.count()
        last = self._train(self.ana, "2027-03", ANA_MARCH)
        screen.step("The club's turnstile records 13 visits at the gym's node; each is sealed, logged and proven.")
        screen.check(
            "P10",
            "The club uploads a visit twice: one event. Another visit under the same key is refused.",
            self._uploaded_again(self.ana, last),
        )
        town.rest()
        screen.check("P3", "While she trains, no message crosses.", not town.wire.messages(since=before))
        for person in self.people[1:]:
            self._join(person, quiet=True)
        screen.step(f"31 March: others link and consent too: {', '.join(_first(each) for each in self.people[1:])}.")
        town.go_to("2027-04-15 23:59")
        town.rest()
        screen.check("P3", "Until the month closes, no claim.", not crossed_claims(town.wire.exchanges()))
        town.go_to("2027-04-16 00:01")
        town.wait("the gym has issued its claim", lambda: self._is_issued(self.ana, "2027-03"))
        screen.step("It closes, and the claim is logged; it leaves within a day, in a slot of the insurer's own.")
        town.go_to("2027-04-17 00:01")
        reward = town.wait(
            "Ana's credit for March", lambda: self._reward(self.ana, "2027-03"), tick_max_s=LONG_TICK_MAX_S
        )
        town.wait("the gym knows that its claim was taken", lambda: self._is_delivered(self.ana, "2027-03"))
        claim = _only(crossed_claims(town.wire.exchanges(since=before)))
        screen.step(f'What crosses: "{claim.statement}: {str(claim.value).lower()}", seen by: {claim.assurance}.')
        screen.check(
            "P7",
            f"One claim, one credit of {_dollars(reward)} for March, at the insurer alone.",
            (reward.amount, reward.state) == (2000, "posted") and len(self._rewards(self.ana)) == 1,
        )
        decision = _only([each for each in self._decisions(self.ana) if each.period == "2027-03"])
        screen.check(
            "P14",
            "Both can tell Ana why: the gym by rule and count, the insurer by rule, claim and receipt.",
            (decision.outcome, decision.counted) == ("issued", 12)
            and set(reward.reasons) >= {"rule", "claim", "receipt"}
            and reward.reasons["receipt"] == self.ana.receipt,
        )
        town.rest()

    def _april(self) -> None:
        town, screen = self._town, self._screen
        screen.scene("April: eleven visits", "close of the month: 16 May 2027")
        before = town.wire.count()
        self._train(self.ana, "2027-04", _part(ANA_APRIL, until=16), at="2027-04-17 22:00")
        self._train(self.ana, "2027-04", _part(ANA_APRIL, after=16))
        screen.step("The club uploads the first half of April late, on the 17th; visits of an open month count.")
        for first, last in ((0, 7), (7, 15)):
            for person, days in ((self.ana, ANA_MAY), (self.ben, BEN_MAY)):
                self._train(person, "2027-05", _part(days, after=first, until=last), at=f"2027-05-{last:02} 22:00")
        town.go_to("2027-05-16 00:01")
        decision = town.wait(
            "the gym has looked at April",
            lambda: next((each for each in self._decisions(self.ana) if each.period == "2027-04"), None),
        )
        town.go_to("2027-05-18 00:01")
        town.rest()
        screen.check(
            "P14",
            "The gym can tell Ana that she did not reach it: eleven days, one too few.",
            (decision.outcome, decision.counted) == ("not_reached", 11),
        )
        screen.check(
            "P3",
            "No message crosses: not one from 17 April to 18 May, though Ana and Ben train.",
            not town.wire.messages(since=before),
        )
        screen.check("P7", "No credit for April.", self._reward(self.ana, "2027-04") is None)

    def _may(self) -> None:
        town, screen = self._town, self._screen
        screen.scene("May: Ana stops", "20 May 2027")
        self._train(self.ana, "2027-05", _part(ANA_MAY, after=15))
        town.go_to("2027-05-20 12:00")
        before = town.wire.count()
        stopped = town.issuer.app.receipts.withdraw(self.ana.receipt, subject=self.ana.at_gym)
        screen.step(
            "She withdraws at the gym; until the insurer has signed, she sees: "
            + ("acknowledged." if stopped.end_acknowledged_at else "not yet acknowledged.")
        )
        ended = town.wait("the insurer acknowledges the withdrawal", self._end_acknowledged)
        at_insurer = town.payer.app.receipts.get(self.ana.receipt)
        screen.check(
            "P5",
            "The insurer acknowledges her withdrawal with a signed time; both ledgers hold it.",
            ended.state == "withdrawn" and at_insurer.state == "withdrawn",
        )
        town.go_to("2027-05-21 22:00")
        screen.check("P4", "A visit after that is refused, and nothing is recorded.", self._is_refused_now(self.ana))
        town.rest()
        crossed = town.wire.messages(since=before)
        screen.check(
            "P4",
            "After her withdrawal no other message crosses.",
            [each.path for each in crossed] == [WITHDRAWN],
        )

    def _june(self) -> None:
        town, screen = self._town, self._screen
        screen.scene("June: the insurer is down when Ben's month closes", "15 to 18 June 2027")
        self._train(self.ben, "2027-05", _part(BEN_MAY, after=15), at="2027-05-29 22:00")
        waiting = [self.ben]
        if self._workouts:
            self._import()
            waiting.append(self.dana)
        town.go_to("2027-06-15 18:00")
        town.rest()
        known = self._acknowledged_facts()
        before = town.wire.count()
        town.payer.process.kill()
        screen.step("15 June, 18:00: the insurer's process is killed (kill -9).")
        town.go_to("2027-06-16 00:01")
        for person in waiting:
            town.wait("the gym has issued its claim", partial(self._is_issued, person, "2027-05"))
        town.go_to("2027-06-17 00:01")
        town.wait("the gym tries again", lambda: len(self._unreachable(before)) >= 3, tick_max_s=LONG_TICK_MAX_S)
        began_s = time.monotonic()
        self._record(self.ben, "2027-06", 15, 45, key="turnstile-while-the-insurer-is-down")
        took_s = time.monotonic() - began_s
        screen.check(
            "P13",
            f"The gym goes on: it tries again and again, and answers its own app in {1000 * took_s:.0f} ms.",
            took_s < ANSWERS_WITHIN_S,
        )
        town.go_to("2027-06-18 09:00")
        town.payer.process.start()
        town.payer.process.wait_until_ready()
        screen.step(f"18 June, 9:00: it is started again, after {len(self._unreachable(before))} attempts in vain.")
        for person in waiting:
            town.wait(
                "the claim is taken after all",
                partial(self._is_delivered, person, "2027-05"),
                tick_max_s=LONG_TICK_MAX_S,
            )
        town.rest()
        screen.check(
            "P2",
            "Nothing that the insurer had acknowledged before it was killed is lost or changed.",
            self._acknowledged_facts() == known and self._still_proven(),
        )
        for person in waiting:
            taken = [each for each in crossed_claims(town.wire.exchanges(since=before)) if each.taken]
            screen.check(
                "P13",
                f"{_first(person)}'s claim is applied once: one acceptance, one credit of $20.00.",
                sum(each.receipt == person.receipt for each in taken) == 1
                and [(each.amount, each.period, each.state) for each in self._rewards(person)]
                == [(2000, "2027-05", "posted")],
            )
        periods = [(each.period, each.state) for each in self._rewards(self.ana)]
        screen.check("P4", "Of Ana's May nothing was ever evaluated or sent.", periods == [("2027-03", "posted")])
        if self._workouts:
            decision = _only([each for each in self._decisions(self.dana) if each.period == "2027-05"])
            screen.check(
                "P14",
                "Dana can read why: two days from her files count, the ride stayed too short a time at one place.",
                decision.outcome == "issued" and decision.not_counted == {"too_short": 1},
            )
        budget = town.payer.app.programs.budget(PROGRAM_NAME, "2027-05")
        screen.check(
            "P8",
            "The insurer's budget for May is down by just these credits.",
            (budget.posted, budget.reserved, budget.remaining) == (2000 * len(waiting), 0, 10000 - 2000 * len(waiting)),
        )

    def _import(self) -> None:
        """Dana's visits: at the turnstile, and from real files."""
        town, screen = self._town, self._screen
        self._train(self.dana, "2027-05", DANA_MAY, at="2027-05-29 22:00")
        town.go_to("2027-05-31 22:00")
        screen.step("Dana trained on ten days at the gym, and imports real workout files from her watch.")
        screen.step("Their days are MOVED to May 2027; places, times of day and durations are the files' own:")
        recorded: list[str] = []
        again: list[str] = []
        told: list[str] = []
        for workout in self._workouts:
            minutes = ", ".join(f"{each.elapsed_s / 60:.0f}" for each in workout.visits)
            screen.step(
                f"  {workout.file.path}: {workout.file.title} of {workout.recorded_on:%d %B %Y}, "
                f"{workout.points_count} positions, stays of {minutes or 'no'} minutes"
            )
            for stay, event in zip(workout.visits, visit_events(workout.visits), strict=True):
                data = cast("dict[str, Any]", event["data"])
                told.append(json.dumps(data))
                town.private.visit(data)
                for ids in (recorded, again):
                    ids.append(
                        town.issuer.app.events.record(
                            subject=self.dana.at_gym,
                            type=str(event["type"]),
                            data=data,
                            idempotency_key=visit_key(stay, self.dana.at_gym),
                        ).event
                    )
        screen.check(
            "P10",
            f"Imported twice, her files make {len(set(recorded))} events and no more.",
            recorded == again and len(set(recorded)) == len(recorded),
        )
        positions = [each for workout in self._workouts for each in workout.positions]
        screen.check(
            "P3",
            "No coordinate leaves the app that imports: even the gym's own node gets place, start and end alone.",
            not any(each in data or '"track"' in data for each in positions for data in told),
        )

    # Steps

    def _train(self, person: Person, month: str, days: Mapping[int, int], *, at: str = "") -> str:
        """Record visits, each on its evening at ten, or all at once; return the key of the last."""
        key = ""
        for day, minutes in days.items():
            self._town.go_to(at or f"{month}-{day:02} 22:00")
            self._confirm(person, month)
            key = f"turnstile-{person.gym_hint[-4:]}-{month}-{day:02}"
            self._record(person, month, day, minutes, key=key)
        return key

    def _confirm(self, person: Person, month: str) -> None:
        """The club confirms, once a month, that a person is its member."""
        if (person.at_gym, month) not in self._confirmed:
            self._confirmed.add((person.at_gym, month))
            since = datetime.fromisoformat(f"{month}-01 06:00").replace(tzinfo=NEW_YORK)
            kind, data = membership_activated(since=since)
            self._town.private.issuer.add(data["since"])
            self._town.issuer.app.events.record(subject=person.at_gym, type=kind, data=data)

    def _record(self, person: Person, month: str, day: int, minutes: int, *, key: str) -> str:
        started_at, ended_at = evening(month, day, minutes)
        kind, data = visit(facility=CLUB, started_at=started_at, ended_at=ended_at, time_zone=ZONE)
        self._town.private.visit(data)
        recorded = self._town.issuer.app.events.record(subject=person.at_gym, type=kind, data=data, idempotency_key=key)
        return recorded.event

    def _uploaded_again(self, person: Person, key: str) -> bool:
        """Record the last visit of March again, then another under its key."""
        month, day = key[-10:-3], int(key[-2:])
        first = self._record(person, month, day, ANA_MARCH[day], key=key)
        if first != self._record(person, month, day, ANA_MARCH[day], key=key):
            return False
        try:
            self._record(person, month, day, ANA_MARCH[day] + 1, key=key)
        except Conflict:
            return True
        return False

    def _is_refused_now(self, person: Person) -> bool:
        try:
            self._record(person, "2027-05", 21, 52, key="turnstile-after-the-end")
        except ConsentRefused as refused:
            return refused.code == "receipt_withdrawn"
        return False

    # What the nodes say

    def _end_acknowledged(self) -> Receipt | None:
        receipt = self._town.issuer.app.receipts.get(self.ana.receipt)
        return receipt if receipt.end_acknowledged_at is not None else None

    def _rewards(self, person: Person) -> tuple[Reward, ...]:
        return self._town.payer.app.rewards.find(person.at_insurer).rewards

    def _reward(self, person: Person, period: str) -> Reward | None:
        return next((each for each in self._rewards(person) if each.period == period), None)

    def _decisions(self, person: Person) -> tuple[Decision, ...]:
        return self._town.issuer.app.decisions.find(person.at_gym).decisions

    def _claim_state(self, person: Person, period: str) -> str | None:
        claims = self._town.issuer.app.claims.each()
        return next((each.state for each in claims if (each.receipt, each.period) == (person.receipt, period)), None)

    def _is_issued(self, person: Person, period: str) -> bool:
        return self._claim_state(person, period) == "issued"

    def _is_delivered(self, person: Person, period: str) -> bool:
        return self._claim_state(person, period) == "delivered"

    def _unreachable(self, since: int) -> list[str]:
        tried = self._town.wire.exchanges(since=since)
        return [each.path for each in tried if each.path == CLAIMS and each.status == HTTPStatus.BAD_GATEWAY]

    def _acknowledged_facts(self) -> list[str]:
        """Return what the insurer has told its own app before the last month closed, as text that can be compared."""
        app = self._town.payer.app
        facts: list[str] = [each.model_dump_json(exclude={"proofs"}) for each in app.programs.list().programs]
        for person in self.people:
            facts += [each.model_dump_json() for each in app.links.find(person.at_insurer).links]
            facts.append(app.receipts.get(person.receipt).model_dump_json(exclude={"proofs", "uses"}))
        facts += [each.model_dump_json() for each in self._rewards(self.ana)]
        return facts

    def _still_proven(self) -> bool:
        """Return whether every entry that the insurer once proved to its app stands where it stood."""
        return all(self._town.payer.app.proofs.get(each.index).entry == each.entry for each in self.proofs)


def _only(found: Sequence[_T]) -> _T:
    """Return the one thing that was found.

    Raises:
        StoryStopped: there are more, or none.
    """
    if len(found) != 1:
        raise StoryStopped(f"There are {len(found)} where one was due.", remedy="See wire.jsonl, then try again.")
    return found[0]


def _first(person: Person) -> str:
    return person.name.split()[0]


def _part(days: Mapping[int, int], *, after: int = 0, until: int = 31) -> dict[int, int]:
    return {day: minutes for day, minutes in days.items() if after < day <= until}


def _dollars(reward: Reward) -> str:
    return f"${reward.amount // 100}.{reward.amount % 100:02}"
