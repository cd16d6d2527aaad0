"""Settings of the database and of Redis, and of the part of the engine that a process runs on them."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

__all__ = ["EngineRole", "StorageSettings"]

EngineRole = Literal["all", "api", "worker"]
"""`api` serves HTTP, `worker` executes runs, `all` does both."""

MAX_PROCESSES = 64

_PARTS = {"api": "serves HTTP without executing runs", "worker": "executes runs without serving people"}


class StorageSettings(BaseSettings):
    """The part of `Settings` that says where the engine keeps its state, and what this process does."""

    data_dir: Path = Path(".data")
    postgres_database_url: str | None = Field(default=None, pattern=r"^postgres(ql)?://", repr=False)
    db_pooler: Literal["auto", "none", "session", "transaction"] = "auto"
    """The mode of a connection pooler in front of PostgreSQL; `auto` finds it out at the start."""

    enable_postgres_checkpointer: bool = True
    checkpointer_database_url: str | None = Field(default=None, pattern=r"^postgres(ql)?://", repr=False)
    redis_url: str | None = Field(default=None, pattern=r"^(rediss?|unix)://", repr=False)

    engine_role: EngineRole = "all"
    """Must follow the settings that it needs."""

    engine_processes: int = Field(default=1, ge=1, le=MAX_PROCESSES)
    """Processes that `skyflo up`, `api` and `worker` run behind one port. Must follow the settings that it needs."""

    @field_validator("engine_role")
    @classmethod
    def _check_shared_services(cls, value: EngineRole, info: ValidationInfo) -> EngineRole:
        missing = _missing_shared_services(info)
        if value != "all" and missing:
            raise ValueError(
                f"is {value}: this process {_PARTS[value]}, and meets the others on one PostgreSQL and one Redis. Set "
                f"{' and '.join(missing)} too, or run everything in one process with ENGINE_ROLE=all (skyflo up)"
            )
        return value

    @field_validator("engine_processes")
    @classmethod
    def _check_processes(cls, value: int, info: ValidationInfo) -> int:
        missing = _missing_shared_services(info)
        if value > 1 and missing:
            raise ValueError(
                f"is {value}: several processes meet on one PostgreSQL and one Redis, and a SQLite file serves one "
                f"process. Set {' and '.join(missing)} too, or run one process with ENGINE_PROCESSES=1"
            )
        return value


def _missing_shared_services(info: ValidationInfo) -> list[str]:
    """Return the names of the services that several processes share and that are not set."""
    return [name.upper() for name in ("postgres_database_url", "redis_url") if info.data.get(name, "") is None]
