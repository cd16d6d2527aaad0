"""Response bodies of the health endpoints."""

from typing import Literal

from pydantic import BaseModel

__all__ = ["Alive", "DatabaseHealth", "Dependency", "Readiness", "State"]

State = Literal["ok", "degraded", "error", "starting", "off"]


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


class DatabaseHealth(BaseModel):
    status: Literal["ok", "error"]
    database: Literal["connected", "disconnected"]


class Dependency(BaseModel):
    """A dependency. `hint` says what to do; `error` is shown to admins only."""

    name: str
    state: State
    latency_ms: float | None = None
    hint: str | None = None
    error: str | None = None


class Readiness(BaseModel):
    status: Literal["ok", "degraded", "error"]
    dependencies: list[Dependency]
