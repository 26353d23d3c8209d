"""What documents of this floor are made of: the strict model, and the types of members that many of them share.

Source: ISO/IEC TS 27560 (fields of a consent record), DESIGN sections 1 and 4.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

RUNGS = ("token", "predicate", "band", "aggregate", "field", "raw")
"""How revealing an answer may be, least first."""

RUNG_HEIGHT = {rung: height for height, rung in enumerate(RUNGS)}
Rung = Literal["token", "predicate", "band", "aggregate", "field", "raw"]
Host = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?$")]
Url = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*[^\s/?#])?$", max_length=300)]
"""Where a node or a witness is reached, without a trailing slash."""

Seconds = Annotated[int, Field(ge=0, lt=2**53)]
Digest = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
ReceiptId = Annotated[str, Field(pattern=r"^rcp_[a-z2-7]{26}$")]
LinkId = Annotated[str, Field(pattern=r"^lnk_[a-z2-7]{26}$")]
ProgramName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Version = Annotated[int, Field(ge=1, le=100_000)]
DataClass = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,39}$")]
DATA_CLASSES_MAX = 32
DataClasses = Annotated[tuple[DataClass, ...], Field(min_length=1, max_length=DATA_CLASSES_MAX)]
Line = Annotated[str, Field(min_length=1, max_length=2_000)]
AgreementId = Annotated[str, Field(pattern=r"^agr_[a-z2-7]{26}$")]
Asset = Annotated[str, Field(pattern=r"^[A-Z]{3,12}/[0-9]$")]
"""A unit of account, and how many decimals its minor unit has: `USD/2`."""


class Strict(BaseModel):
    """A document of exactly its members, each of its own type, which nobody changes."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Sparse(BaseModel):
    """A document with members that stand in it only where they are set: older ones keep their bytes and digests.

    Attributes:
        LATER: those members; each has a default.
    """

    LATER: ClassVar[frozenset[str]] = frozenset()
    _DEFAULTS: ClassVar[tuple[tuple[str, object], ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        """Look the defaults up once: a model's fields take long to ask for, and documents are written often."""
        cls._DEFAULTS = tuple((name, cls.model_fields[name].default) for name in cls.LATER)

    @model_serializer(mode="wrap")
    def _without_unset(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = write(self)
        members = vars(self)
        for name, default in self._DEFAULTS:
            if members[name] == default:
                document.pop(name, None)  # whoever writes it may have left it out already
        return document
