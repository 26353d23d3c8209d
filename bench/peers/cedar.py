"""Cedar, by PyPI's `cedarpy`: one policy that says what a receipt permits, the receipt as the resource it is about.

Source: docs.cedarpolicy.com (policy syntax, entities), cedarpy's `is_authorized`.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from tallystick_consent.decide import Ask
from tallystick_consent.fields import RUNG_HEIGHT
from tallystick_consent.receipts.purposes import COVERED_BY
from tallystick_consent.receipts.receipt import Receipt

# A peer: measured where `make bench-peers` has put it, and no part of what is installed to work here.
INSTALLED = Path(__file__).parent.parent.parent / "build" / "bench-peers" / "python"
sys.path.append(str(INSTALLED))
try:
    import cedarpy
except ImportError:
    cedarpy = None
finally:
    sys.path.remove(str(INSTALLED))

_POLICY = """
permit(principal, action == Action::"answer", resource) when {
  resource.state == "given" && resource.acknowledged &&
  resource.valid_from_s <= context.now_s && context.now_s < resource.valid_until_s &&
  context.issuer == resource.issuer && context.recipient == resource.recipient &&
  context.program == resource.program && context.program_version == resource.program_version &&
  resource.purposes.containsAny(context.covered_by) && resource.data_classes.containsAll(context.data_classes) &&
  context.rung <= resource.rung &&
  context.events_from_s < resource.events_until_s && resource.events_from_s < context.events_until_s
};
"""


def permits(ask: Ask, receipt: Receipt, *, now_s: int) -> Callable[[], bool] | None:
    """Return what asks Cedar about one receipt found by its key; None where cedarpy is not installed."""
    if cedarpy is None:
        return None
    terms = receipt.terms.document()
    resource = {
        "uid": {"__entity": {"type": "Receipt", "id": terms["receipt"]}},
        "attrs": {
            **{name: terms[name] for name in ("issuer", "recipient", "program", "program_version")},
            **{name: terms[name] for name in ("purposes", "data_classes", "events_from_s", "events_until_s")},
            **{name: terms[name] for name in ("valid_from_s", "valid_until_s")},
            "rung": RUNG_HEIGHT[terms["rung"]],
            "state": str(receipt.state),
            "acknowledged": receipt.acknowledged,
        },
        "parents": [],
    }
    request = {
        "principal": f'Partner::"{ask.recipient}"',
        "action": 'Action::"answer"',
        "resource": f'Receipt::"{terms["receipt"]}"',
        "context": {
            **{name: value for name, value in ask._asdict().items() if name != "purpose"},
            "data_classes": sorted(ask.data_classes),
            "rung": RUNG_HEIGHT[ask.rung],
            "covered_by": sorted(COVERED_BY[ask.purpose]),
            "now_s": now_s,
        },
    }
    policies, decide = cedarpy.PolicySet.from_str(_POLICY), cedarpy.is_authorized
    return lambda: bool(decide(request, policies, [resource]).allowed)
