"""What an error looks like on the wire (RFC 9457)."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Problem"]


class Problem(BaseModel):
    """`detail` is a sentence to act on, `code` the same fact for programs. Some errors carry further members."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    request_id: str | None
