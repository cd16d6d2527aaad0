"""Error responses (RFC 9457)."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Problem"]


class Problem(BaseModel):
    """An error. `detail` says what to do, `code` is for programs. Some errors have further members."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    request_id: str | None
