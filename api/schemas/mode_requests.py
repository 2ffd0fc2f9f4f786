"""Bodies about the mode of a tenant."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from api.schemas.requests import Body, Flag, Identifier, Reason
from control_plane.domain.mode import Mode
from control_plane.domain.mode_change import KEEP_DAYS
from control_plane.services.mode_changes import Wish


class ModeWish(Body):
    """The confirmation of a tenant's mode, or its change: exactly one of the two.

    ``amendment`` is the number of the amendment of the contract that buys the new mode. With
    ``upgrade`` the tenant's data is moved; without it the slice has to be empty.
    """

    confirm: Flag = False
    change_to: Literal["A", "B", "C"] | None = None
    upgrade: Flag = False
    amendment: Identifier | None = None
    keep_days: Annotated[int, Field(strict=True, ge=0, le=90)] = KEEP_DAYS
    reason: Reason

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.confirm == (self.change_to is not None):
            raise ValueError("give either confirm or change_to")
        return self

    def wish(self) -> Wish:
        """Return what is asked for."""
        return Wish(
            reason=self.reason,
            to=Mode(self.change_to) if self.change_to else None,
            upgrade=self.upgrade,
            amendment=self.amendment,
            keep_days=self.keep_days,
        )
