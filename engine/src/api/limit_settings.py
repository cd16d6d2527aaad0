"""Turn settings into the limits, times and budgets that the services share."""

from src.api.config.settings import Settings
from src.api.schemas.budgets import NANO, Budget, BudgetScope
from src.api.services.limits import CHANGE_SECONDS, READ_SECONDS, Limits, ToolBudget

__all__ = ["build_limits"]

_SCOPES: tuple[BudgetScope, ...] = ("run", "person_day", "team_day")


def build_limits(settings: Settings) -> Limits:
    """Return the limits and times that the services share."""
    return Limits(
        approval_timeout=settings.approve_within_seconds,
        start_timeout=settings.execute_within_seconds,
        change_timeout=settings.tool_timeout_seconds or CHANGE_SECONDS,
        read_timeout=settings.tool_timeout_seconds or READ_SECONDS,
        max_turns=settings.llm_max_iterations,
        max_auto_continue=settings.max_auto_continue_turns,
        tool_budget=ToolBudget(
            further_tokens=settings.mcp_servers_max_tokens,
            server_tokens={server.name: server.max_tokens for server in settings.mcp_servers},
        ),
        retention_days=settings.retention_days,
        compaction_percent=settings.llm_compaction_percent,
        budgets=tuple(_build_budgets(settings)),
    )


def _build_budgets(settings: Settings) -> list[Budget]:
    budgets: list[Budget] = []
    for scope in _SCOPES:
        tokens: int | None = getattr(settings, f"budget_{scope}_tokens")
        dollars: float | None = getattr(settings, f"budget_{scope}_usd")
        if tokens is not None:
            budgets.append(Budget(scope, "tokens", tokens, f"BUDGET_{scope.upper()}_TOKENS"))
        if dollars is not None:
            budgets.append(Budget(scope, "usd", round(dollars * NANO), f"BUDGET_{scope.upper()}_USD"))
    return budgets
