"""What rules compare: which events they keep, and which outcome a figure or a word has.

Pure. Each shape is closed, and bounded where it is read.

    outcome   = at_least | at_most | equals | one_of | bands | reveals

Source: DESIGN section 1 (program), SCENARIOS sections 0 to 5, CONSTRUCTIONS (rules and rewards).
"""

from itertools import pairwise
from typing import Annotated, Any, Literal, cast

from pydantic import Discriminator, Field, Tag, model_validator

from tallystick_consent.fields import Strict

FIGURE_MAX = 2**53 - 1

BANDS_MAX = 16


def names_in(value: object) -> frozenset[str]:
    """Return the names of members of a document or a model, by which its shape is told."""
    if isinstance(value, dict):
        return frozenset(map(str, cast("dict[object, object]", value)))
    return frozenset(cast("dict[str, object]", getattr(value, "__dict__", {})))


Word = Annotated[str, Field(max_length=80)]


Member = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,39}$")]


Figure = Annotated[int, Field(ge=-FIGURE_MAX, le=FIGURE_MAX)]


Positive = Annotated[int, Field(ge=1, le=FIGURE_MAX)]


EventName = Annotated[str, Field(pattern=r"^[a-z]{1,20}\.[a-z_]{1,20}$")]

# Row filters


class OneOf(Strict):
    """Keep events whose text member is one of the words."""

    member: Member
    one_of: Annotated[tuple[Word, ...], Field(min_length=1, max_length=1_000)]


class Within(Strict):
    """Keep events whose figure lies within bounds, both of them in it."""

    member: Member
    at_least: Figure | None = None
    at_most: Figure | None = None

    @model_validator(mode="after")
    def _sound(self) -> "Within":
        if self.at_least is None and self.at_most is None:
            raise ValueError("a filter has a bound")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("a filter's bounds leave nothing between them")
        return self


class OnOrAfter(Strict):
    """Keep events whose date member is not before the first, or the last, day of the period."""

    member: Member
    on_or_after: Literal["first_day", "last_day"]


def _filter_shape(value: Any) -> str:
    given = names_in(value)
    return "words" if "one_of" in given else "date" if "on_or_after" in given else "figure"


Where = Annotated[
    Annotated[OneOf, Tag("words")] | Annotated[Within, Tag("figure")] | Annotated[OnOrAfter, Tag("date")],
    Discriminator(_filter_shape),
]

# Outcomes


class AtLeast(Strict):
    """Yes, where the figure is that or more."""

    at_least: Figure


class AtMost(Strict):
    """Yes, where the figure is that or less."""

    at_most: Figure


class Equals(Strict):
    """Yes, where the figure is just that."""

    equals: Figure


class IsOneOf(Strict):
    """Yes, where the last event's word is one of these."""

    one_of: Annotated[tuple[Word, ...], Field(min_length=1, max_length=100)]


class Bands(Strict):
    """Which band the figure lies in. Bands touch: no table can have a gap, or two bands for one figure.

    Attributes:
        bands: where each band but the first begins, rising. Bands are numbered from 1.
        sent_from: the lowest band that is told; below it nothing is sent.
    """

    bands: Annotated[tuple[Figure, ...], Field(min_length=1, max_length=BANDS_MAX - 1)]
    sent_from: Annotated[int, Field(ge=1, le=BANDS_MAX)]

    @model_validator(mode="after")
    def _sound(self) -> "Bands":
        if any(later <= earlier for earlier, later in pairwise(self.bands)):
            raise ValueError("each band begins above the one before")
        if self.sent_from > len(self.bands) + 1:
            raise ValueError("no band would ever be sent")
        return self


class Reveals(Strict):
    """The figure itself: the one outcome that is no yes, and needs the rung of an aggregate."""

    reveals: Literal["figure"]


def _outcome_shape(value: Any) -> str:
    given = names_in(value)
    found = [name for name in ("at_least", "at_most", "equals", "one_of", "bands", "reveals") if name in given]
    return found[0] if found else "at_least"


Outcome = Annotated[
    Annotated[AtLeast, Tag("at_least")]
    | Annotated[AtMost, Tag("at_most")]
    | Annotated[Equals, Tag("equals")]
    | Annotated[IsOneOf, Tag("one_of")]
    | Annotated[Bands, Tag("bands")]
    | Annotated[Reveals, Tag("reveals")],
    Discriminator(_outcome_shape),
]
