"""Calls about claims, rewards, and why."""

from typing import Literal

from tallystick.calls.base import body_of, search_call, write_call
from tallystick.calls.pages import page_call
from tallystick.core import Call, unproven
from tallystick.errors import require
from tallystick.verify import Verifier
from tallystick.wire import (
    PAGE_SIZE_MAX,
    AnswerContest,
    AskClaim,
    Asked,
    Claims,
    Contest,
    ContestDecision,
    Decisions,
    Explanations,
    FindBySubject,
    Ground,
    HeldClaims,
    OpenContests,
    Rewards,
)
from tallystick_consent.receipts.answering import Declined


class ClaimCalls:
    """Ask for answers, and see which came."""

    def ask(self, link: str, period: str, *, idempotency_key: str | None = None) -> Call[Asked]:
        """Ask the issuer of a link for its answer on a period; whether one will come, nothing tells."""
        body = body_of(lambda: AskClaim(link=link, period=period))
        return write_call("/v1/claims/ask", body, Asked, unproven, idempotency_key)

    def held(self, subject: str) -> Call[HeldClaims]:
        """Return the claims about a customer that the customer's wallet can present, for the app to hand over.

        There are none unless the receipt was given with the wallet's key; `tallystick.presenting` presents them.
        """
        return search_call("/v1/claims/search", body_of(lambda: FindBySubject(subject=subject)), HeldClaims, unproven)

    def list(self, *, limit: int = 100, cursor: str | None = None) -> Call[Claims]:
        """Return a page of claims, newest first.

        Args:
            limit: how many at most, 1 to 1000.
            cursor: `next_cursor` of the page before; None: the first page.
        """
        return page_call("/v1/claims", Claims, limit=limit, cursor=cursor)


class RewardCalls:
    """What customers were given."""

    def find(self, subject: str) -> Call[Rewards]:
        """Return the rewards of one customer, each with its reasons."""
        return search_call("/v1/rewards/search", body_of(lambda: FindBySubject(subject=subject)), Rewards, unproven)


class DecisionCalls:
    """What this node decided, for the customer to read."""

    def find(self, subject: str) -> Call[Decisions]:
        """Return the decisions about one customer, each with its reasons."""
        return search_call("/v1/decisions/search", body_of(lambda: FindBySubject(subject=subject)), Decisions, unproven)

    def why(self, subject: str) -> Call[Explanations]:
        """Return why, for everything about one customer: each answer, silence, refusal and reward."""
        return search_call("/v1/why/search", body_of(lambda: FindBySubject(subject=subject)), Explanations, unproven)

    def contest(
        self, decision: int, *, subject: str, ground: Ground, idempotency_key: str | None = None
    ) -> Call[Contest]:
        """Record that the subject says a decision is wrong.

        Args:
            decision: its number, from `why`.
            subject: the company's own id of the customer, who is logged in.
            ground: what is wrong with it.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        body = body_of(lambda: ContestDecision(subject=subject, decision=decision, ground=ground))

        def check(made: Contest, _verifier: Verifier) -> None:
            require((made.decision, made.ground) == (decision, ground), "The node recorded another contest.")

        return write_call("/v1/decisions/contest", body, Contest, check, idempotency_key)

    def contests(self, *, limit: int = PAGE_SIZE_MAX, cursor: str | None = None) -> Call[OpenContests]:
        """Return a page of what customers contest and nobody has answered, what is due first at the front."""
        return page_call("/v1/decisions/contests", OpenContests, limit=limit, cursor=cursor)

    def answer(
        self,
        contest: str,
        *,
        subject: str,
        outcome: Literal["upheld", "declined"],
        agent: str,
        because: Declined | None = None,
        correction: str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Contest]:
        """Answer what a customer contests; `why` shows it from then on.

        Args:
            contest: its id, from `contests`.
            subject: our own id of the customer.
            outcome: whether the customer is right.
            agent: our own id of who decided; sealed.
            because: why it is declined.
            correction: what was corrected; it must be named where the record was wrong.
            idempotency_key: the caller's own; one is drawn where it is None.
        """
        body = body_of(
            lambda: AnswerContest(
                subject=subject, contest=contest, outcome=outcome, agent=agent, because=because, correction=correction
            )
        )

        def check(made: Contest, _verifier: Verifier) -> None:
            require((made.contest, made.state) == (contest, outcome), "The node answered another contest.")

        return write_call("/v1/decisions/contests/answer", body, Contest, check, idempotency_key)
