"""API tokens on the wire."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from src.api.schemas.base import A_NUMBER

__all__ = ["Scope", "TokenList", "TokenMade", "TokenView", "TokenWanted"]

Scope = Literal["read", "chat"]


class TokenWanted(BaseModel):
    """A token for a machine. `chat` includes `read`."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=2)] = ["read"]
    expires_in_days: Annotated[int, Field(ge=1, le=365), A_NUMBER] = 90


class TokenView(BaseModel):
    """What is known of a token: never the token itself. Times are milliseconds since the epoch."""

    id: str
    user_id: str
    name: str
    scopes: list[Scope]
    created_at: int
    expires_at: int


class TokenMade(TokenView):
    """The only answer that holds the token."""

    token: str


class TokenList(BaseModel):
    """All tokens of one person; there are never more than a page."""

    data: list[TokenView]
