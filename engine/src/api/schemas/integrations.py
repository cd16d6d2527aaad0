"""Request and response bodies of integrations. Credentials appear in requests only."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Secret, StringConstraints, WithJsonSchema

from src.api.schemas.base import DISPLAY_NAME, JsonObject
from src.api.utils.names import check_name

__all__ = ["IntegrationChange", "IntegrationCreate", "IntegrationRemoved", "IntegrationView"]

Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"),
    AfterValidator(check_name),
    Field(json_schema_extra=DISPLAY_NAME),
]
Metadata = Annotated[JsonObject, Field(description="Not secret. jenkins: api_url and any further fields")]
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


class IntegrationCreate(BaseModel):
    """A new integration. Its name must be unique; by default it is the provider's title, numbered if that is taken."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    provider: str = Field(min_length=1, max_length=32, description="jenkins")
    name: Name | None = None
    metadata: Metadata
    credentials: Credentials


class IntegrationChange(BaseModel):
    """Fields to change; omitted ones stay. `metadata` and `credentials` are replaced whole."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    name: Name | None = None
    metadata: Metadata | None = None
    credentials: Credentials | None = None
    status: Literal["active", "disabled"] | None = None


class IntegrationView(BaseModel):
    """An integration. `credentials_ref` is where its credentials are stored, `credentials_set` their names, never their
    values.

    Status `error`: the credentials can't be read any more; send them again.
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


class IntegrationRemoved(BaseModel):
    """`credentials` is `removed`, or `leaving` while their store is unreachable; removal is retried."""

    status: Literal["success"] = "success"
    id: str
    credentials: Literal["removed", "leaving"]
