"""Where entries stand in logs.

Pure. Source: DESIGN section 4.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Index = Annotated[int, Field(ge=0, lt=2**53)]
LogOrigin = Annotated[
    str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?/log/[0-9]{4}(-[1-9][0-9]{0,2})?$")
]


class EventPlace(BaseModel):
    """Where the entry of an event stands: its index in a log of this company, by the log's origin."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    log: LogOrigin
    leaf: Index
