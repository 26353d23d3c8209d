"""The W3C DPV purposes in use here, and which contains which.

A receipt for a purpose permits that purpose and what DPV places below it, never what stands above or beside it.

Source: W3C Data Privacy Vocabulary 2, module Purposes (https://w3id.org/dpv); a selection.
"""

from typing import Annotated

from pydantic import AfterValidator

_BROADER = {
    "dpv:ServiceProvision": (),
    "dpv:Personalisation": (),
    "dpv:ServicePersonalisation": ("dpv:ServiceProvision", "dpv:Personalisation"),
    "dpv:PersonalisedBenefits": ("dpv:ServicePersonalisation",),
    "dpv:Marketing": (),
    "dpv:DirectMarketing": ("dpv:Marketing",),
    "dpv:CustomerManagement": (),
    "dpv:CustomerRelationshipManagement": ("dpv:CustomerManagement",),
    "dpv:ResearchAndDevelopment": (),
}


def _and_all_above(term: str) -> frozenset[str]:
    return frozenset({term}).union(*(_and_all_above(each) for each in _BROADER[term]))


COVERED_BY: dict[str, frozenset[str]] = {term: _and_all_above(term) for term in _BROADER}
"""For each purpose, the purposes whose receipt permits it: itself and all above."""


def _known(term: str) -> str:
    if term not in _BROADER:
        raise ValueError("a purpose is one of the DPV terms in use")
    return term


KnownPurpose = Annotated[str, AfterValidator(_known)]
"""A purpose in use here, as the field of a model."""
