"""Finds visits in a person's own workout files, on the importing side: coordinates stay there.

The file formats need the extra `[import]`; importing this package does not. Nothing here talks to a node: the caller
records `visit_events` under `visit_key`.
"""

from tallystick.importing.errors import ExtraMissing, FacilitiesInvalid, WorkoutUnreadable
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
