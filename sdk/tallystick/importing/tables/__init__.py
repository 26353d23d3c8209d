"""Reads tables that trackers and shops export: daily steps, and purchases. Base install; no extra is needed.

reading     text with a header, its columns parted one way
dates       dates whose order nobody states
steps       a person's days, held against the hours
purchases   a customer's purchases
"""

from tallystick.importing.tables.dates import DateOrder
from tallystick.importing.tables.purchases import (
    FoundPurchase,
    PurchasesReport,
    purchase_events,
    purchase_key,
    read_purchases,
)
from tallystick.importing.tables.steps import (
    DaySteps,
    StepsReport,
    read_everyones_steps,
    read_steps,
    steps_events,
    steps_key,
)

__all__ = [
    "DateOrder",
    "DaySteps",
    "FoundPurchase",
    "PurchasesReport",
    "StepsReport",
    "purchase_events",
    "purchase_key",
    "read_everyones_steps",
    "read_purchases",
    "read_steps",
    "steps_events",
    "steps_key",
]
