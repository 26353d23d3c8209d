"""The journey events that rules understand.

journey     an event, as rules read it
shapes      the data of each type
catalogue   what a rule may compare and measure of each type, and when two events tell the same thing
envelope    the CloudEvent that is sealed, and the one way in
"""

from tallystick_consent.events.catalogue import (
    CATALOGUE,
    VISIT_ELAPSED_MAX_S,
    EventType,
    figure_of,
    figure_reader,
    identity_of,
    types_of,
)
from tallystick_consent.events.envelope import MEDIA_TYPE, EventRefused, event_payload, parse_event, parse_payload
from tallystick_consent.events.journey import JourneyEvent, data_class_of
from tallystick_consent.events.shapes import TRACK_POINTS_MAX

__all__ = [
    "CATALOGUE",
    "MEDIA_TYPE",
    "TRACK_POINTS_MAX",
    "VISIT_ELAPSED_MAX_S",
    "EventRefused",
    "EventType",
    "JourneyEvent",
    "data_class_of",
    "event_payload",
    "figure_of",
    "figure_reader",
    "identity_of",
    "parse_event",
    "parse_payload",
    "types_of",
]
