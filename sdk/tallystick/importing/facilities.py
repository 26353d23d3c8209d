"""The facilities a visit may be found at: places with a circle around them, from a list a partner approved.

Pure: bytes in, values out.
"""

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tallystick.importing.errors import FacilitiesInvalid
from tallystick_ledger.encoding import parse_json_object
from tallystick_ledger.errors import BadInput

FACILITIES_MAX = 10_000
FACILITIES_SIZE_BYTES_MAX = 8 * 1024 * 1024
SPEED_MAX_KMH_ON_FOOT = 15


def _require_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; not a relative path; a folder of zones, such as `America`
        raise ValueError("the time zone is not in the IANA database") from None
    return name


class Facility(BaseModel):
    """A place whose visits count.

    Attributes:
        id: the partner's own id for it, as it stands in event data.
        name: for people; never in event data.
        latitude: degrees north of its centre, WGS 84.
        longitude: degrees east of its centre, WGS 84.
        radius_m: a position this far from the centre or nearer is inside.
        time_zone: IANA name; a visit's times are told, and its day is counted, in this zone.
        speed_max_kmh: whoever moves faster is passing through, not visiting. The default suits a place people use on
            foot; a cycle track wants about 60.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
    name: Annotated[str, Field(min_length=1, max_length=120)]
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]
    radius_m: Annotated[int, Field(ge=10, le=2000)]
    time_zone: Annotated[str, Field(max_length=64), AfterValidator(_require_zone)]
    speed_max_kmh: Annotated[int, Field(ge=1, le=100)] = SPEED_MAX_KMH_ON_FOOT


class _FacilityList(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    facilities: Annotated[list[Facility], Field(min_length=1, max_length=FACILITIES_MAX)]


def load_facilities(raw: bytes) -> tuple[Facility, ...]:
    """Return the facilities in a JSON document `{"facilities": [...]}`, whose members are `Facility`'s attributes.

    Raises:
        FacilitiesInvalid: too large, not JSON, a member missing, unknown or out of bounds, or an id that stands twice.
    """
    if len(raw) > FACILITIES_SIZE_BYTES_MAX:
        raise _invalid("The list of facilities is larger than 8 MiB.")
    try:
        found = _FacilityList.model_validate(parse_json_object(raw)).facilities
    except BadInput as error:
        raise FacilitiesInvalid(error.problem, remedy='Write one JSON object {"facilities": [...]}.') from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise _invalid(f"In the list of facilities, {place}: {first['msg']}.") from None
    if len({facility.id for facility in found}) != len(found):
        raise _invalid("Two facilities have the same id.")
    return tuple(found)


def _invalid(problem: str) -> FacilitiesInvalid:
    return FacilitiesInvalid(problem, remedy="Correct the list; docs name each member and its bounds.")
