"""Who may say yes for a subject that does not, or not alone: guardians, joint holders, the agents of a company.

Pure. The receipt names the kind of authority on which it stands, and both partners sign that. Who the people are, who
is a minor and until when, each company keeps to itself: `Standing` never crosses, nor does a refusal that tells of it.

Source: SCENARIOS 1.14, 1.15 and 3.17, ISO/IEC TS 27560 (party, and the authority it acts on).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.fields import Sparse, Strict

SPEAKERS_MAX = 8
"""How many people may speak for one subject."""

StandingKind = Literal["minor", "joint", "company"]


class Authority(Sparse, Strict):
    """On whose word a receipt stands, where that is not the subject's own alone.

    Attributes:
        kind: `guardian` of a minor, whose receipt ends at majority; `joint` holders of what belongs to several; `agent`
            of a company.
        needed: of joint holders, how many must say yes; any one of them can stop.
    """

    LATER = frozenset({"needed"})

    kind: Literal["guardian", "joint", "agent"]
    needed: Annotated[int, Field(ge=1, le=SPEAKERS_MAX)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Authority":
        if (self.kind == "joint") != (self.needed is not None):
            raise ValueError("how many are needed is said of joint holders, and of nobody else")
        return self


@dataclass(frozen=True, slots=True)
class Standing:
    """Who speaks for a subject, as one company has it on record.

    Attributes:
        kind: a `minor`, for whom guardians speak; `joint` holders; a `company`, for which agents speak.
        speakers: the company's own ids of those who may speak.
        of_age_from_s: of a minor, from when on it speaks for itself; None for the others.
        needed: of joint holders, how many must say yes; None for the others.
    """

    kind: StandingKind
    speakers: frozenset[str]
    of_age_from_s: int | None = None
    needed: int | None = None


def required_authority(standing: Standing | None, *, now_s: int) -> Authority | None:
    """Return on whose authority a receipt of this subject has to stand; None: on its own.

    Args:
        standing: what is on record of the subject; None for one who speaks for itself.
        now_s: seconds since 1970-01-01 UTC.
    """
    if standing is None or _is_of_age(standing, now_s):
        return None
    if standing.kind == "minor":
        return Authority(kind="guardian")
    if standing.kind == "company":
        return Authority(kind="agent")
    return Authority(kind="joint", needed=standing.needed)


def check_speaker(standing: Standing | None, *, by: str | None, now_s: int) -> None:
    """Return quietly if `by` may speak for the subject; None is the subject itself, where there is one that may.

    Raises:
        ReceiptRejected: a guardian, holder or agent who is not one, or none where one has to speak.
    """
    required = required_authority(standing, now_s=now_s)
    if required is None or standing is None:
        if by is not None:
            raise _not_authorised("The subject speaks for itself.")
    elif by is None:
        raise _not_authorised("The subject does not speak for itself here.")
    elif by not in standing.speakers:
        raise _not_authorised("Whoever speaks for the subject is not on record for it.")


def check_stopper(standing: Standing | None, *, by: str | None, now_s: int) -> None:
    """Return quietly if `by` may refuse or stop for the subject: any one who speaks for it, or the subject itself.

    A child who wants no more is heard, and so is any one of several holders.

    Raises:
        ReceiptRejected: somebody who is not on record.
    """
    if by is not None:
        check_speaker(standing, by=by, now_s=now_s)


def check_giving(
    authority: Authority | None,
    standing: Standing | None,
    *,
    by: str | None,
    approved_by: frozenset[str],
    ends_at_s: int,
    now_s: int,
) -> None:
    """Return quietly if consent may be given so.

    Args:
        authority: what the receipt names.
        standing: what is on record of the subject.
        by: who says yes; None for the subject itself.
        approved_by: who said yes before, of joint holders.
        ends_at_s: when the receipt and what it covers have ended at the latest, seconds since 1970-01-01 UTC.
        now_s: likewise.

    Raises:
        ReceiptRejected: by somebody who may not, by too few, on another authority than the receipt names, or for
            longer than the authority lasts.
    """
    check_speaker(standing, by=by, now_s=now_s)
    required = required_authority(standing, now_s=now_s)
    if authority != required:
        raise ReceiptRejected(
            "authority_mismatch",
            "The receipt stands on another authority than the one on record for its subject.",
            remedy="Ask anew, for a receipt on that authority.",
        )
    if required is None or standing is None or by is None:
        return
    if standing.of_age_from_s is not None and ends_at_s > standing.of_age_from_s:
        raise ReceiptRejected(
            "authority_ends", "A guardian's receipt outlasts the guardian's authority.", remedy="Ask for a shorter one."
        )
    if required.needed is not None and len((approved_by | {by}) & standing.speakers) < required.needed:
        raise ReceiptRejected(
            "approval_missing", "Fewer holders have said yes than must.", remedy="Let the others approve first."
        )


def is_covered(authority: Authority | None, standing: Standing | None, *, now_s: int) -> bool:
    """Return whether a receipt on this authority still covers its subject: a minor's needs a guardian (1.14), and
    nobody else's is a guardian's to give (1.15).

    Whom joint holders and companies let speak may change without ending what they gave.
    """
    required = required_authority(standing, now_s=now_s)
    needs_guardian = required is not None and required.kind == "guardian"
    return (authority is not None and authority.kind == "guardian") == needs_guardian


def _is_of_age(standing: Standing, now_s: int) -> bool:
    return standing.of_age_from_s is not None and standing.of_age_from_s <= now_s


def _not_authorised(problem: str) -> ReceiptRejected:
    return ReceiptRejected(
        "not_authorised", problem, remedy="Let somebody answer who is on record for the subject; nothing was done."
    )
