"""A table of the site file: frozen, no key that is not known, and what its names may look like."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


class Section(BaseModel):
    """What all tables have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_mixture(cls, value: Any, info: ValidationInfo) -> Any:
        """true is no number, and 1 is not true."""
        wants_bool = cls.model_fields[info.field_name or ""].annotation is bool
        if wants_bool and not isinstance(value, bool):
            raise ValueError("true or false is needed")
        if isinstance(value, bool) and not wants_bool:
            raise ValueError("a value is needed, not true or false")
        return value
