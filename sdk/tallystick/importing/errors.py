"""Errors of the import: what a file, a facility list or this installation cannot give.

TallyError
  ExtraMissing          the libraries of `tallystick[import]` are not installed
  BadInput
    FacilitiesInvalid   a list of facilities is not as it must be
    WorkoutUnreadable   a workout file cannot be read as one
"""

from tallystick_ledger.errors import BadInput, TallyError


class ExtraMissing(TallyError):
    """The libraries that read workouts are not installed; the base install is made without them."""

    code = "extra_missing"


class FacilitiesInvalid(BadInput):
    """A list of approved facilities does not have the shape it must have."""

    code = "facilities_invalid"


class WorkoutUnreadable(BadInput):
    """A workout file cannot be read as one; nothing of it is used.

    The message never repeats the file's name or anything that stands in it: a workout says where a person was.

    Attributes:
        reason: one of the keys of `PROBLEMS`, for the report of an import.
    """

    code = "workout_unreadable"

    def __init__(self, reason: str) -> None:
        problem, remedy = PROBLEMS[reason]
        super().__init__(problem, remedy=remedy)
        self.reason = reason


_EXPORT = "Export the workout again, as FIT, GPX or TCX."

PROBLEMS = {
    "missing": ("There is no such file, or it may not be read.", "Check the path."),
    "not_a_file": ("The path is not a regular file.", "Name a file, or a folder of files."),
    "unknown_kind": ("The file is neither FIT, GPX nor TCX.", _EXPORT),
    "too_large": ("The file is larger than an import reads.", _EXPORT),
    "too_many_points": ("The workout has more points or elements than an import reads.", "Split the workout."),
    "fit_damaged": ("The FIT file is cut short or its checksum is wrong.", "Copy it from the device again."),
    "not_an_activity": ("The FIT file is a course, a setting or another kind, not an activity.", _EXPORT),
    "encoding": ("The text is not UTF-8, nor in the encoding it declares.", _EXPORT),
    "xml_malformed": ("The file is not well-formed XML.", _EXPORT),
    "xml_dtd": ("The XML declares a document type or entities, which no workout needs.", _EXPORT),
    "xml_too_deep": ("The XML is nested deeper than any workout.", _EXPORT),
    "content_invalid": ("A value in the file is not as its format says.", _EXPORT),
    "times_go_back": ("The times of the points go back, so none of them can be relied on.", _EXPORT),
}
"""Each reason a file is refused for, with its problem and remedy; reasons are never reworded."""
