"""Follow partners' logs, and put what was seen of them into our own: logs that anchor each other.

At an interval each partner's head is fetched and shown to continue the last one; that is remembered whatever follows.
A head also goes into our ledger, as `peer_head`: it stands under our signature and our witnesses' that we saw it then.
A partner that shows another history is caught with both of its heads as evidence. The second one goes into our ledger
as well, since that is what the partner signed, and that log is followed no further. A log that is gone, or shows less
than it had, convicts nobody: the operator is told, and after an hour of it what it had signed is kept as evidence.

Two logs that anchor each other could go on for ever: each anchor is a new head for the other to anchor. So a head is
anchored only with news of our own: once for each log of a partner, and then when our log has grown by something other
than anchors since. Each entry that is no anchor is so followed by at most one anchor a partner, and idle nodes stop.

Source: DESIGN section 4 (`peer_head`), P1 and P13.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import delete, func, insert, select

from tallystick.descriptor import Descriptor
from tallystick.errors import NodeUnreachable, ReplyForged
from tallystick.following import LogSite
from tallystick.growth import LedgerForked, SeenHead, follow, open_seen
from tallystick_consent.places import begun_as
from tallystick_ledger.errors import NoteMalformed, SignatureRejected, TallyError
from tallystick_ledger.peer_head import PeerHead, peer_head
from tallystick_ledger.tlog.head import parse_checkpoint_body
from tallystick_ledger.tlog.keys import VerifierKey
from tallystick_ledger.tlog.note import unchecked_text
from tallystick_node.errors import StorageUnavailable
from tallystick_node.log.missed import MISSING_CODES
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import FOLLOWED, HEADS

LOOKS_AT_ONCE_MAX = 16
"""Partners that are looked at side by side; who is slow takes one place, and delays nothing else of the node."""

KNOWN_LOGS_MAX = 3
"""Logs of one partner that are looked at: the last ones known, besides those that may have begun since."""

log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Followed:
    """What is remembered of one log.

    Attributes:
        seen: its last head; None where none was seen.
        is_forked: whether it has shown two histories.
        anchors: how many entries of our log are about it.
        anchored_size: the size of its last head that is in our log.
        news: how many entries of our log were no anchors when that one was made, -1 where none was.
    """

    seen: SeenHead | None = None
    is_forked: bool = False
    anchors: int = 0
    anchored_size: int = 0
    news: int = -1

    def needs_anchor(self, size: int, *, news: int) -> bool:
        """Return whether a head of `size` goes into our log, which has `news` entries that are no anchors."""
        return size > self.anchored_size and news > self.news


class PeerHeads:
    """Follows the logs of a node's partners."""

    def __init__(self, node: Node) -> None:
        """Follow for `node`, as often as its settings say."""
        self._node = node
        self._pool = ThreadPoolExecutor(LOOKS_AT_ONCE_MAX, thread_name_prefix="peer-heads")
        self._due_s: dict[str, int] = {}
        self._troubles: dict[str, str] = {}

    def close(self) -> None:
        """Look no further; what is under way ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def is_due(self, partner: str) -> bool:
        """Return whether it is time to look at a partner's logs; it costs next to nothing to ask."""
        return self._node.settings.follow_interval_s > 0 and self._node.now_s() >= self._due_s.get(partner, 0)

    async def look(self, partner: str) -> None:
        """Look at a partner's logs, where that is due."""
        if not self.is_due(partner):
            return
        now_s = self._node.now_s()
        self._due_s[partner] = now_s + self._node.settings.follow_interval_s
        described = await asyncio.to_thread(self._node.partners.known, partner)
        known = await asyncio.to_thread(self._known, partner)
        year = datetime.fromtimestamp(now_s, UTC).year
        for origin in _worth_a_look(described, known, year=year):
            await self._look_at(described, origin, is_known=origin in known)

    async def _look_at(self, partner: Descriptor, origin: str, *, is_known: bool) -> None:
        before = await asyncio.to_thread(self._followed, origin, self._own_log)
        if before.is_forked:
            return
        site, note = LogSite(partner.url + origin.removeprefix(partner.host), http=self._node.http), None
        try:
            note = await self._apart(site.checkpoint)
            seen = await self._apart(partial(_continued, before.seen, note, partner, origin, site))
            is_new = seen is not before.seen
            if seen is not None and (is_new or await asyncio.to_thread(self._needs_anchor, before)):
                await self._node.written(partial(self._record, partner, seen))
        except LedgerForked as error:
            log.critical("the log %s has signed two histories", origin)
            await asyncio.to_thread(self._node.evidence.keep, error.proof)
            forked = open_seen(error.note, origin=origin, keys=partner.log_keys(origin))
            await self._node.written(partial(self._record, partner, forked, is_forked=True))
        except (NodeUnreachable, ReplyForged) as error:
            if error.code in MISSING_CODES and before.seen is not None:
                await self._miss(before.seen, error.code, note or b"")
            # Nothing says that there is such a log: it was only worth a look.
            self._say(origin, error.code if is_known or isinstance(error, ReplyForged) else "")
        except StorageUnavailable:
            raise
        except TallyError as error:
            self._say(origin, error.code)
        else:
            self._node.missed.found(origin)
            self._say(origin, "")

    async def _apart(self, look: Callable[[], _T]) -> _T:
        """Look among the others that are looked at side by side."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, look)

    async def _miss(self, last: SeenHead, code: str, shown: bytes) -> None:
        """Take down that a log does not show what it had; once that is no passing trouble, say so and keep evidence."""
        evidence = self._node.missed.missing(last, code=code, shown=shown, now_s=self._node.now_s())
        if evidence is not None:
            log.critical("the log %s does not show any more what it has signed: %s", last.checkpoint.origin, code)
            await asyncio.to_thread(self._node.evidence.keep, evidence)

    def _record(
        self, partner: Descriptor, seen: SeenHead, transaction: Transaction, *, is_forked: bool = False
    ) -> None:
        """Remember a head, and put it into our log where there is reason to, and where it can be."""
        origin = seen.checkpoint.origin
        row = transaction.row(select(FOLLOWED).where(FOLLOWED.c.origin == origin))
        after = _read(row, transaction.log)
        news = transaction.next_index - _count(transaction.row(_anchors_in(transaction.log)))
        anchored_at = (after.anchors, after.anchored_size, after.news)
        if is_forked or after.needs_anchor(seen.checkpoint.size, news=news):
            anchor = _anchor(seen, keys=partner.live(transaction.now_s).log_keys(origin))
            if anchor is not None:
                transaction.append("peer_head", anchor.body())
                anchored_at = (after.anchors + 1, seen.checkpoint.size, news)
        # Of a log that forked, the first of its histories stays the one that is remembered.
        kept = after.seen if is_forked and after.seen is not None else seen
        transaction.execute(delete(FOLLOWED).where(FOLLOWED.c.origin == origin))
        transaction.execute(
            insert(FOLLOWED).values(
                origin=origin,
                partner=partner.host,
                note=kept.note,
                keys="".join(f"{key.text}\n" for key in kept.keys),
                state="forked" if is_forked else "following",
                own_log=transaction.log,
                anchors=anchored_at[0],
                anchored_size=anchored_at[1],
                news=anchored_at[2],
                seen_at_s=transaction.now_s,
            )
        )

    def _needs_anchor(self, before: Followed) -> bool:
        """Whether a head that is known already is to be anchored by now; `_record` asks again, in its transaction."""
        own_log = self._own_log
        size = _count(self._node.row(select(HEADS.c.size).where(HEADS.c.log == own_log)))
        news = size - _count(self._node.row(_anchors_in(own_log)))
        return before.seen is not None and before.needs_anchor(before.seen.checkpoint.size, news=news)

    @property
    def _own_log(self) -> str:
        """The name of the log that this node writes now."""
        return self._node.shards.current.own.name

    def _known(self, partner: str) -> list[str]:
        """Return the logs of a partner that are followed, the last one last."""
        query = select(FOLLOWED.c.origin).where(FOLLOWED.c.partner == partner)
        return sorted((row.origin for row in self._node.rows(query)), key=begun_as)

    def _followed(self, origin: str, own_log: str) -> Followed:
        return _read(self._node.row(select(FOLLOWED).where(FOLLOWED.c.origin == origin)), own_log)

    def _say(self, origin: str, trouble: str) -> None:
        """Tell the operator of a trouble, and of its end, once."""
        if self._troubles.get(origin, "") != trouble:
            log.warning("following %s: %s", origin, trouble or "as it should be")
        self._troubles[origin] = trouble


def _continued(
    last: SeenHead | None, note: bytes | None, partner: Descriptor, origin: str, site: LogSite
) -> SeenHead | None:
    """Return the head that a log shows, shown to continue the last one; None where there is none to speak of."""
    if note is None:
        if last is not None:
            raise NodeUnreachable(
                "A log is gone from where it was seen.",
                remedy="Ask its operator where it is; keep the head that was seen.",
                code="log_gone",
            )
        return None
    seen = follow(last, note, origin=origin, keys=partner.log_keys(origin), reader=site.reader)
    return seen if seen.checkpoint.size else None


def _anchor(seen: SeenHead, *, keys: Sequence[VerifierKey]) -> PeerHead | None:
    """Return what our log says of a head; None where it can say nothing, which keeps nobody from remembering it."""
    try:
        return peer_head(seen.note, keys=keys)
    except (NoteMalformed, SignatureRejected) as error:  # too large, or signed with ML-DSA-44 alone
        log.warning("a head of %s is remembered and cannot be anchored: %s", seen.checkpoint.origin, error.code)
        return None


def _read(row: Any | None, own_log: str) -> Followed:
    if row is None:
        return Followed()
    keys = tuple(VerifierKey.parse(line) for line in row.keys.splitlines())
    seen = SeenHead(parse_checkpoint_body(unchecked_text(row.note)), row.note, keys)
    if row.own_log != own_log:  # our own log is another one by now, and nothing of theirs is in it
        return Followed(seen, row.state == "forked")
    return Followed(seen, row.state == "forked", row.anchors, row.anchored_size, row.news)


def _anchors_in(own_log: str) -> Any:
    """Return the query for how many entries of a log of ours are anchors."""
    return select(func.sum(FOLLOWED.c.anchors)).where(FOLLOWED.c.own_log == own_log)


def _count(row: Any | None) -> int:
    return 0 if row is None or row[0] is None else int(row[0])


def _worth_a_look(partner: Descriptor, known: list[str], *, year: int) -> list[str]:
    """Return the logs of a partner to look at: the last ones known, this year's, and one in place of the last one."""
    origins = [*known[-KNOWN_LOGS_MAX:], partner.log_origin(year)]
    if known:
        begun, number = begun_as(known[-1])
        origins.append(f"{partner.host}/log/{begun}-{number + 1}")
    return list(dict.fromkeys(origins))
