"""Resources: what a receipt is about where it is not about all there is: single accounts, devices, places.

Pure. Each resource goes by a name of the link's own, made by the issuer (`claims.pairwise.resource_id`): an account's
number never crosses, and two partners cannot tell that they were given the same account. An event says inside its
sealed payload which resource it is of; one that names none, such as a membership, is of the subject as a whole.

Source: API section 6 (`resources`), SCENARIOS 2.10, FDX consent (resources).
"""

from typing import Annotated, Literal

from pydantic import Field

from tallystick_consent.events import CATALOGUE, JourneyEvent, data_class_of
from tallystick_consent.fields import Strict

RESOURCES_MAX = 64
"""How many resources a receipt may name."""

ResourceKind = Literal["account", "facility", "source", "store"]
"""What events name as such: an account of a bank's line, a facility of a visit, a source of steps, a store."""

ResourceId = Annotated[str, Field(pattern=r"^res_[a-z2-7]{26}$")]


class Resource(Strict):
    """One of the things that a receipt is about.

    Attributes:
        kind: what it is.
        id: the link's own name of it, which says nothing to anybody but the issuer.
    """

    kind: ResourceKind
    id: ResourceId


def resource_of(event: JourneyEvent) -> tuple[str, str] | None:
    """Return the kind and the source's own name of the resource that an event is of, None where it names none."""
    kind = _KIND_OF.get(event.type)
    return None if kind is None else (kind, str(event.data[kind]))


def kinds_in(data_classes: frozenset[str]) -> frozenset[str]:
    """Return the kinds of resources that events of these data classes name."""
    return frozenset(kind for name, kind in _KIND_OF.items() if data_class_of(name) in data_classes)


_KINDS_BY_CLASS: dict[str, ResourceKind] = {
    "balance": "account",
    "line": "account",
    "purchase": "store",
    "steps": "source",
    "visit": "facility",
}

_KIND_OF = {
    name: kind
    for name, each in CATALOGUE.items()
    if (kind := _KINDS_BY_CLASS.get(data_class_of(name))) is not None and kind in each.schema.model_fields
}
"""By event type, the member that names its resource, which is called as its kind is. What removes a line or a purchase
names none: it is of the thing that it removes."""
