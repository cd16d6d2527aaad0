"""Request and response bodies of API tokens."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from src.api.schemas.base import DISPLAY_NAME, STRICT_NUMBER
from src.api.utils.names import check_name

__all__ = ["Scope", "TokenCreate", "TokenCreated", "TokenList", "TokenView"]

Scope = Literal["read", "chat"]


class TokenCreate(BaseModel):
    """A new token. The scope `chat` includes `read`."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[
        str, Field(min_length=1, max_length=100, json_schema_extra=DISPLAY_NAME), AfterValidator(check_name)
    ]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=2)] = ["read"]
    expires_in_days: Annotated[int, Field(ge=1, le=365), STRICT_NUMBER] = 90


class TokenView(BaseModel):
    """A token without its secret. Times are milliseconds since the epoch."""

    id: str
    user_id: str
    name: str
    scopes: list[Scope]
    created_at: int
    expires_at: int


class TokenCreated(TokenView):
    """The only response that contains the token."""

    token: str


class TokenList(BaseModel):
    """All tokens of one user; they always fit on one page."""

    data: list[TokenView]
