"""What can be asked of one's own node, as its clients offer it: a group for each noun, blocking and awaited.

Every call is written once, in `calls`. A group names those that belong together, and walks lists that come in pages.
So the two clients cannot differ in more than whether a reply is awaited.

Source: API (Python SDK).
"""

from tallystick.groups.awaited import (
    AsyncActs,
    AsyncClaims,
    AsyncDecisions,
    AsyncDesk,
    AsyncEvents,
    AsyncGroups,
    AsyncLinks,
    AsyncPrograms,
    AsyncProofs,
    AsyncReceipts,
    AsyncRewards,
    AsyncStandings,
    AsyncSubjects,
)
from tallystick.groups.base import AsyncGroup, Awaited, Blocking, Group
from tallystick.groups.blocking import (
    Acts,
    Claims,
    Decisions,
    Desk,
    Events,
    Groups,
    Links,
    Programs,
    Proofs,
    Receipts,
    Rewards,
    Standings,
    Subjects,
)

__all__ = [
    "Acts",
    "AsyncActs",
    "AsyncClaims",
    "AsyncDecisions",
    "AsyncDesk",
    "AsyncEvents",
    "AsyncGroup",
    "AsyncGroups",
    "AsyncLinks",
    "AsyncPrograms",
    "AsyncProofs",
    "AsyncReceipts",
    "AsyncRewards",
    "AsyncStandings",
    "AsyncSubjects",
    "Awaited",
    "Blocking",
    "Claims",
    "Decisions",
    "Desk",
    "Events",
    "Group",
    "Groups",
    "Links",
    "Programs",
    "Proofs",
    "Receipts",
    "Rewards",
    "Standings",
    "Subjects",
]
