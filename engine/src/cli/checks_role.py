"""Check whether the part of the engine that this machine runs has the others that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.cli.check_result import CheckResult, describe_error, passed, warned
from src.cli.checks_local import TIMEOUT_SECONDS

if TYPE_CHECKING:
    from src.api.config.settings import Settings

__all__ = ["check_role"]


def check_role(settings: Settings) -> list[CheckResult]:
    """Check a process that only serves or only executes. Settings that a role lacks are refused with the settings."""
    if settings.engine_role == "worker":
        return [passed("role", "worker: executes runs. People reach the engine through `skyflo api` or `skyflo up`.")]
    if settings.engine_role == "api" and settings.redis_url is not None:
        return [_check_workers(settings.redis_url)]
    return []


def _check_workers(redis_url: str) -> CheckResult:
    from redis import RedisError

    from src.api.config.offers import count_listeners

    try:
        count = count_listeners(redis_url, TIMEOUT_SECONDS)
    except (RedisError, OSError, ValueError) as error:
        reason = describe_error(error)
        return warned("role", f"api: whether a worker runs is unknown, because Redis does not answer ({reason}).")
    if count == 0:
        return warned(
            "role",
            "api: no process executes runs, so messages wait. Start `skyflo worker` on the same PostgreSQL and Redis.",
        )
    return passed("role", f"api: serves people. Processes that execute runs: {count}.")
