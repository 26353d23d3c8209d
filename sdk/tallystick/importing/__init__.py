"""Finds visits in a person's own workout files, on the importing side; reads tables of steps and purchases.

Coordinates stay there.

The workout formats need the extra `[import]`; importing this package does not, and tables need none. Nothing here
talks to a node: the caller records `visit_events` under `visit_key`, and so on.
"""

from tallystick.importing.errors import ExtraMissing, FacilitiesInvalid, TableUnreadable, WorkoutUnreadable
from tallystick.importing.facilities import Facility, load_facilities
from tallystick.importing.report import FileOutcome, ImportReport, import_files
from tallystick.importing.visits import (
    FoundVisit,
    GeofenceRule,
    find_visits,
    merge_visits,
    visit_events,
    visit_key,
)
from tallystick.importing.workouts import Point, Workout, read_workout

__all__ = [
    "ExtraMissing",
    "FacilitiesInvalid",
    "Facility",
    "FileOutcome",
    "FoundVisit",
    "GeofenceRule",
    "ImportReport",
    "Point",
    "TableUnreadable",
    "Workout",
    "WorkoutUnreadable",
    "find_visits",
    "import_files",
    "load_facilities",
    "merge_visits",
    "read_workout",
    "visit_events",
    "visit_key",
]
