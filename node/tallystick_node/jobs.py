"""What a node does by itself: close periods, expire, deliver, publish.

`tick` does all that is due now, once, and is all that a test needs; `run` does it again and again until it is stopped.
Every timer reads the node's clock.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import httpx
from sqlalchemy import ColumnElement, Table, delete, select, tuple_

from tallystick_ledger.errors import PolicyUnmet, TallyError
from tallystick_ledger.times import DAY_S
from tallystick_node.again import again
from tallystick_node.errors import (
    ClockBehind,
    ForkSuspected,
    LogReadOnly,
    LogUnasked,
    SettingsInvalid,
    SignerUnavailable,
    StorageUnavailable,
    StoreUnavailable,
)
from tallystick_node.flows.claims.closing import close_periods, due_receipts, put_off_closing
from tallystick_node.flows.claims.retracting import forget_overtaken
from tallystick_node.flows.expiring import due_pieces
from tallystick_node.flows.links.ending import destroy_ended
from tallystick_node.flows.links.offers import BY_LETTER, OFFER_LIVES_S
from tallystick_node.flows.logs.descriptors import Couriers
from tallystick_node.flows.logs.key_log import log_keys
from tallystick_node.flows.logs.peer_heads import PeerHeads
from tallystick_node.flows.logs.turning import open_log, turn_to, year_to_begin
from tallystick_node.flows.receipts.stopping import forget_signed
from tallystick_node.flows.subjects.burying import forget_outlived, scrub_buried, scrubbed
from tallystick_node.flows.subjects.erasure_asking import ask_partner, due_erasures
from tallystick_node.keys.ring import NodeKeys
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import PUBLISHING, Node
from tallystick_node.outbox import Outbox, recover_sending
from tallystick_node.storage.tables import (
    IDEMPOTENCY,
    LETTERS,
    MATCHINGS,
    NONCES,
    PARTNERS,
)
from tallystick_node.storage.turns import Turn

ROWS_A_TICK_MAX = 200
CLOSED_A_TICK_MAX = 2_000
CLOSED_TOGETHER_MAX = 200
"""How many periods are closed, or looked at again, in one commit at most: an app that records meanwhile waits for no
more than that, a few tenths of a second, and no more than their events are in memory at once. Those of one receipt stay
together; a rule looks back for a year and a month at most, so that of days there are about 400."""

PURGED_TOGETHER_MAX = 1_000
"""How many rows of a kind that have had their time are deleted in one commit, and so in one tick: a busy node has a
million a day, and nobody must wait for all of them."""

MESSAGES_A_TICK_MAX = 100
IDEMPOTENCY_LIFE_S = 30 * DAY_S
PAUSE_S = 0.1
LINKS_ENDED_LOOKED_BACK_S = 3_600
"""How long after its end it is seen to that a link's secret is gone: longer than any commit takes."""

ASK_AGAIN_AFTER_S = 15
"""How long whoever did not say what it has seen of our log is left in peace."""

TURN_AGAIN_AFTER_S = 60
"""How long the turn of the year waits where the clock is in doubt."""

log = logging.getLogger(__name__)

T = TypeVar("T")


class Jobs:
    """A node's own work."""

    def __init__(self, node: Node, http: httpx.AsyncClient) -> None:
        self._node = node
        self._couriers = Couriers(node, http)
        self._outbox = Outbox(node, http, doubt=self._couriers.doubt)
        self._peer_heads = PeerHeads(node)
        self._keys_logged: NodeKeys | None = None
        self._publishing = asyncio.Lock()
        self._links_ended_from_s = 0
        self._wrapped_on_day = -1
        self._purged_on_day = -1
        self._turns_again_s = 0

    def close(self) -> None:
        """Release what a task that was cancelled cannot."""
        self._peer_heads.close()

    async def begin(self) -> None:
        """Ask whether the log may go on, then take up what the last run left: messages under way, ended links."""
        await self.ask()
        if await self._is_read_only():
            return
        try:
            async with self._turn("housekeep") as turn:
                if turn is not None:
                    await self._node.written(lambda transaction: open_log(self._node, transaction))
                    await asyncio.to_thread(self._turn_year)
            await self._recover()
            await self.publish()
            await asyncio.to_thread(self._node.say_who_signs)
        except (
            PolicyUnmet,
            ForkSuspected,
            SignerUnavailable,
            StoreUnavailable,
            ClockBehind,
            LogUnasked,
            LogReadOnly,
        ) as error:
            # A node whose witnesses are away still records, and still lets its customers withdraw; one whose log must
            # not be written is still read.
            log.warning("the first head waits: %s", error)

    async def _recover(self) -> None:
        """Queue again what was being sent when the node stopped, and no other process is sending."""
        for row in await asyncio.to_thread(self._node.rows, select(PARTNERS.c.host)):
            async with self._turn(f"deliver/{row.host}") as turn:
                if turn is not None:
                    await self._node.written(partial(recover_sending, partner=row.host))

    async def ask(self) -> None:
        """Ask whoever may have seen more of this node's log than it has itself."""
        await asyncio.to_thread(self._node.standing.ask)

    async def tick(self) -> None:
        """Do all that is due now, once, and deliver what can be delivered; while the log is read-only, only what lets
        keys die and deleted rows be gone."""
        if await self._is_read_only():
            await self._let_go()
            return
        await self.housekeep()
        await self.publish()
        for row in await asyncio.to_thread(self._node.rows, select(PARTNERS.c.host).order_by(PARTNERS.c.host)):
            await self.deliver(row.host)
            await self.look(row.host)
        await self.publish()

    @asynccontextmanager
    async def _turn(self, work: str) -> AsyncGenerator[Turn | None]:
        """Give the turn for some work, None where another process of this node has it."""
        turns = self._node.turns
        turn = turns.take(work) if turns.are_our_own else await asyncio.to_thread(turns.take, work)
        try:
            yield turn
        finally:
            if turn is not None and turns.are_our_own:
                turn.give_back()
            elif turn is not None:
                await asyncio.to_thread(turn.give_back)

    async def housekeep(self) -> None:
        """Expire what has run out, then close the periods whose time has come, where no other process does."""
        await self._follow_keys()
        async with self._turn("housekeep") as turn:
            if turn is not None:
                await asyncio.to_thread(self._turn_year)
                await self._housekeep()

    async def _housekeep(self) -> None:
        for piece in await asyncio.to_thread(due_pieces, self._node, rows_max=ROWS_A_TICK_MAX):
            await self._attempt(piece)
        for erasure in await asyncio.to_thread(due_erasures, self._node, rows_max=ROWS_A_TICK_MAX):
            await self._attempt(partial(ask_partner, self._node, erasure=erasure))
        await self.close_due(rows_max=CLOSED_A_TICK_MAX)
        await self._destroy_ended()
        await self._let_go()
        today = self._node.now_s() // DAY_S
        if today != self._purged_on_day and not (await self._node.written(_purge)).value:
            try:
                await asyncio.to_thread(self._node.end_keys)
            except (SettingsInvalid, OSError):
                log.warning("keys that ended are not destroyed yet")
            await self._node.written(partial(forget_outlived, self._node))
            self._purged_on_day = today

    async def _destroy_ended(self) -> None:
        """Destroy the secrets of links that have ended: after a start of all, so that a crash skips none."""
        lately_s = self._node.now_s() - LINKS_ENDED_LOOKED_BACK_S
        since_s = min(self._links_ended_from_s, lately_s)  # a clock that was ahead may have been set right
        await asyncio.to_thread(destroy_ended, self._node, since_s=since_s)
        self._links_ended_from_s = lately_s

    async def _let_go(self) -> None:
        """Let what is to be unreadable become so: deleted rows overwritten, and the keys of a week ago destroyed."""
        await self._scrub()
        today = self._node.now_s() // DAY_S
        if today != self._wrapped_on_day:
            await asyncio.to_thread(self._node.custody.rewrap)
            self._wrapped_on_day = today

    async def close_due(self, *, rows_max: int) -> int:
        """Close the periods whose time has come, and look again at those that late evidence came for.

        So many of both together in one commit, where they are of several receipts; where one fails, the halves are
        tried alone, so that it keeps no other from being closed.

        Args:
            rows_max: after how many periods what is left waits for the next tick.

        Returns:
            How many periods that were.
        """
        due = await asyncio.to_thread(due_receipts, self._node, rows_max=rows_max)
        sets = [due[begin : begin + CLOSED_TOGETHER_MAX] for begin in range(0, len(due), CLOSED_TOGETHER_MAX)]
        sets.reverse()  # the first is taken from the end
        done = 0
        while sets and done < rows_max:
            receipts = sets.pop()
            work = partial(close_periods, self._node, receipts=receipts, periods_max=CLOSED_TOGETHER_MAX)
            closed = await self._attempt(work)
            if closed is not None:
                done += closed
            elif len(receipts) == 1:
                await self._node.written(partial(put_off_closing, receipt=receipts[0]))
                done += 1
            else:
                half = len(receipts) // 2
                sets += [receipts[half:], receipts[:half]]
        return done

    async def _scrub(self) -> None:
        """Leave nothing of who was erased in any file; somebody may be reading just now, so perhaps the next time."""
        numbers = await asyncio.to_thread(scrub_buried, self._node)
        if numbers:
            await self._node.written(partial(scrubbed, numbers=numbers), even_read_only=True)

    async def _follow_keys(self) -> None:
        """Take up keys that the operator changed, and log what changed; no head is published in between."""
        if self._node.keys is self._keys_logged and not await asyncio.to_thread(self._node.keys_changed):
            return
        async with self._publishing:
            try:
                await asyncio.to_thread(self._node.refresh_keys)
            except SettingsInvalid as error:
                log.error("changed keys are not taken up: %s", error.problem)
            keys = self._node.keys
            await self._node.written(partial(log_keys, self._node))
            self._keys_logged = keys

    async def _attempt(self, work: Callable[[Transaction], T]) -> T | None:
        """Do one piece of housekeeping and return what came of it; one that fails is logged, returns None, and keeps no
        other from being done.

        Raises:
            StorageUnavailable, ClockBehind: nothing can be written just now.
        """
        try:
            return (await self._node.written(work)).value
        except (StorageUnavailable, ClockBehind):
            raise
        except TallyError as error:
            log.warning("housekeeping waits: %s", error.code)
        except Exception:
            log.exception("housekeeping failed")
        return None

    async def deliver(self, partner: str) -> None:
        """Deliver what waits for one partner, until nothing does or it does not answer; our changed keys before all."""
        async with self._turn(f"deliver/{partner}") as turn:
            if turn is None or not await asyncio.to_thread(self._node.partners.token, partner):
                return  # another process does, or the partner was removed
            await self._couriers.exchange(partner)
            for _ in range(MESSAGES_A_TICK_MAX):
                if not await self._outbox.deliver_next(partner):
                    return

    async def look(self, partner: str) -> None:
        """Look at a partner's logs, where no other process does: an older head must not be remembered over a newer."""
        if not self._peer_heads.is_due(partner):
            return
        async with self._turn(f"look/{partner}") as turn:
            if turn is not None:
                await self._peer_heads.look(partner)

    async def publish(self) -> None:
        """Publish what was committed, signed by keys that the log tells of, or take up what another process did.

        A log that a witness knows otherwise is not written any more.
        """
        if await self._is_read_only():
            return
        await self._follow_keys()
        async with self._publishing, self._turn(PUBLISHING) as turn:
            if turn is None:
                await asyncio.to_thread(self._node.shards.follow)
                return
            try:
                if await asyncio.to_thread(self._node.shards.publish, still_mine=turn.require):
                    await asyncio.to_thread(self._node.say_who_signs)
            except ForkSuspected as error:
                await asyncio.to_thread(self._node.standing.consider, error.note)
                raise

    async def _is_read_only(self) -> bool:
        return await asyncio.to_thread(lambda: self._node.standing.is_read_only)

    def _turn_year(self) -> None:
        """Begin the year's log once the clock has passed the year of the one that is written.

        Not by a clock that is ahead of most witnesses' signed times, and not where somebody has seen that log already.
        """
        node = self._node
        name = year_to_begin(node)
        if name is None or node.clock.now_s() < self._turns_again_s:
            return
        if node.standing.is_clock_ahead():
            log.error("the year's log is not begun by a clock that is ahead of most witnesses'")
            self._turns_again_s = node.clock.now_s() + TURN_AGAIN_AFTER_S
            return
        node.standing.require_unseen(f"{node.host}/log/{name}", node.shards.current)
        parts = turn_to(node, name)
        log.warning("the log %s has begun, with %d parts of its opening", name, parts)

    async def run(self) -> None:
        """Work until cancelled: a task for the node itself, one for publication, one for each partner."""
        async with asyncio.TaskGroup() as group:
            group.create_task(again("housekeeping", self._housekeep_unless_read_only, PAUSE_S))
            group.create_task(again("asking those who were silent", self._ask_the_silent, ASK_AGAIN_AFTER_S))
            group.create_task(again("publication", self.publish, self._node.settings.publish_interval_ms / 1000))
            serving: set[str] = set()

            async def serve_new_partners() -> None:
                for row in await asyncio.to_thread(self._node.rows, select(PARTNERS.c.host)):
                    if row.host not in serving:
                        serving.add(row.host)
                        host = row.host
                        group.create_task(again(f"delivery to {host}", partial(self.deliver, host), PAUSE_S))
                        group.create_task(again(f"following {host}", partial(self.look, host), PAUSE_S))

            group.create_task(again("finding new partners", serve_new_partners, 1))

    async def _housekeep_unless_read_only(self) -> None:
        await (self._let_go() if await self._is_read_only() else self.housekeep())

    async def _ask_the_silent(self) -> None:
        if self._node.standing.silent:
            await self.ask()


def _purge(transaction: Transaction) -> bool:
    """Delete what has had its time; return whether there is more of it."""
    transaction.execute(delete(LETTERS).where(LETTERS.c.expires_at_s <= transaction.now_s))
    # An offer by letter has run out long before what became of it is forgotten.
    transaction.execute(delete(MATCHINGS).where(MATCHINGS.c.at_s < transaction.now_s - 2 * OFFER_LIVES_S[BY_LETTER]))
    forget_overtaken(transaction)
    forget_signed(transaction)
    replies = _purge_some(transaction, IDEMPOTENCY, IDEMPOTENCY.c.created_at_s, transaction.now_s - IDEMPOTENCY_LIFE_S)
    nonces = _purge_some(transaction, NONCES, NONCES.c.expires_at_s, transaction.now_s)
    return max(replies, nonces) == PURGED_TOGETHER_MAX


def _purge_some(transaction: Transaction, table: Table, at_s: ColumnElement[int], before_s: int) -> int:
    """Delete rows of before a time, so many at most; return how many."""
    key = tuple_(*table.primary_key.columns)
    oldest = select(*table.primary_key.columns).where(at_s < before_s).limit(PURGED_TOGETHER_MAX)
    return int(transaction.execute(delete(table).where(key.in_(oldest))).rowcount)
