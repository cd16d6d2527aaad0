"""Integrations on the wire. Credentials only ever come in."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, Secret, StringConstraints, WithJsonSchema

from src.api.schemas.base import JsonObject
from src.api.schemas.runs import Page

__all__ = ["IntegrationChange", "IntegrationList", "IntegrationRemoved", "IntegrationView", "IntegrationWanted"]

Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Metadata = Annotated[JsonObject, Field(description="Nothing secret. jenkins: api_url, and what you like")]
Credentials = Annotated[
    Secret[JsonObject],
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Replaced whole, and never shown again. jenkins: username and api_token",
            "writeOnly": True,
        }
    ),
]


class IntegrationWanted(BaseModel):
    """Something to connect to, under a name that no other integration has."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    provider: str = Field(min_length=1, max_length=32, description="jenkins")
    name: Name
    metadata: Metadata
    credentials: Credentials


class IntegrationChange(BaseModel):
    """What is left out stays. `metadata` and `credentials` are replaced whole."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    name: Name | None = None
    metadata: Metadata | None = None
    credentials: Credentials | None = None
    status: Literal["active", "disabled"] | None = None


class IntegrationView(BaseModel):
    """`credentials_ref` says where the credentials are and `credentials_set` which there are, never what they are.

    `error`: they could not be read any more; send them again.
    """

    id: str
    provider: str
    name: str
    metadata: JsonObject
    status: Literal["active", "disabled", "error"]
    credentials_ref: str | None
    credentials_set: list[str]
    created_by: str
    created_at: int
    updated_at: int


class IntegrationList(BaseModel):
    status: Literal["success"] = "success"
    data: list[IntegrationView]
    pagination: Page


class IntegrationRemoved(BaseModel):
    """`credentials`: removed, or leaving while the place where they are kept does not answer; it is tried again."""

    status: Literal["success"] = "success"
    id: str
    credentials: Literal["removed", "leaving"]
