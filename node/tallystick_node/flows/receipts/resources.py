"""Resources at the issuer: the names by which each link knows them, and which events a receipt's resources let through.

A name is computed when it is needed and kept nowhere; with the link's secret it is gone, and nobody can make it again.

Source: `tallystick_consent.receipts.resources`, SCENARIOS 2.10.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tallystick import wire
from tallystick_consent.claims.pairwise import resource_id
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.events import JourneyEvent
from tallystick_consent.receipts.receipt import Terms
from tallystick_consent.receipts.resources import Resource, kinds_in, resource_of
from tallystick_ledger.errors import PayloadUnavailable
from tallystick_node.errors import no_such_thing
from tallystick_node.flows.links.rows import link_secret_name
from tallystick_node.flows.receipts.rows import terms_of, with_subject
from tallystick_node.node import Node
from tallystick_node.storage.tables import LINKS, RECEIPTS

RESOURCE_KEY = "resource"
"""The name in custody of the key that the names of resources are made with."""


@dataclass(frozen=True, slots=True)
class ResourceNames:
    """How one link calls the resources of its issuer."""

    k_resource: bytes
    k_link: bytes

    def of(self, named: wire.NamedResource) -> Resource:
        """Return a resource under the link's own name."""
        return Resource(kind=named.kind, id=self._id(named.kind, named.name))

    def let_through(self, event: JourneyEvent, permitted: frozenset[str]) -> bool:
        """Return whether an event is of one of these resources, or of none but of the subject as a whole."""
        named = resource_of(event)
        return named is None or self._id(*named) in permitted

    def _id(self, kind: str, name: str) -> str:
        return resource_id(self.k_resource, k_link=self.k_link, kind=kind, name=name)


def names_of(node: Node, link: str) -> ResourceNames:
    """Return how a link calls resources.

    Raises:
        PayloadUnavailable: the link's secret is missing.
    """
    k_link = node.custody.find(link_secret_name(link))
    if k_link is None:
        raise PayloadUnavailable(
            "The secret of a link with a live receipt is missing.", remedy="Restore custody from its own backup."
        )
    return ResourceNames(node.custody.find_or_make(RESOURCE_KEY), k_link)


def resources_named(
    node: Node, terms: Terms, named: Iterable[wire.NamedResource] | None
) -> tuple[Resource, ...] | None:
    """Return what our app names in our own words as the link of these terms calls it; None for nothing.

    Raises:
        ReceiptRejected: events of these data classes are of no such resources.
        PayloadUnavailable: the link's secret is missing.
    """
    asked = tuple(named or ())
    if not asked:
        return None
    if not {each.kind for each in asked} <= kinds_in(frozenset(terms.data_classes)):
        raise ReceiptRejected(
            "resource_unknown",
            "A resource is of a kind that nothing here is of.",
            remedy="Name what the events of these data classes name: an account, a source, a facility, a store.",
        )
    names = names_of(node, terms.link)
    return tuple(names.of(each) for each in asked)


def find_resources(node: Node, receipt: str, body: wire.FindResources) -> wire.Resources:
    """Return how a receipt's link calls resources that our app names in our own words, in the same order.

    Raises:
        NotFound: no receipt of this subject that it gives here, or one whose link has ended.
        ReceiptRejected: nothing here is of such resources.
    """
    mine = (RECEIPTS.c.id == receipt, RECEIPTS.c.role == "issuer", LINKS.c.subject == body.subject)
    row: Any = node.row(with_subject().where(*mine, LINKS.c.state == "active"))
    if row is None:
        raise no_such_thing()
    return wire.Resources(resources=resources_named(node, terms_of(row), body.resources) or ())
