"""What the types of printed JSON share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class JsonOutput(BaseModel):
    """An object that a command prints; a field that it does not have is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
