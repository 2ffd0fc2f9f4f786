"""The form of every error."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Problem(BaseModel):
    """What went wrong (RFC 9457); some codes add members, such as ``roles`` or ``parts``."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str | None
    code: str
    remedy: str = ""
