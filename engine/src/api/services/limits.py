"""Limits that the services apply: times, turns, and how many tools a model is offered."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from src.api.schemas.budgets import Budget

__all__ = ["CHANGE_SECONDS", "READ_SECONDS", "Limits", "ToolBudget"]

CHANGE_SECONDS = 600.0
READ_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class ToolBudget:
    """How much tool descriptions may take of each model call, in estimated tokens: about twice the true number.

    `further_tokens` is for all servers besides our own together, `server_tokens` for each of them. `tools` counts all:
    some providers refuse a request with more than 128 tools.
    """

    tools: int = 128
    own_tokens: int = 30_000
    further_tokens: int = 24_000
    server_tokens: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """Timeouts and lifetimes in seconds; `max_turns` and `max_auto_continue` count model calls.

    Older messages are summarised when more than `compaction_percent` of the model's context window is taken; 0: never.

    Conversations without activity for `retention_days` are erased; None keeps them.

    An approved change must start within `start_timeout`; then it may run for `change_timeout`. Its result is kept in
    memory for `record_timeout` while the database is unavailable. After a crash, a tool server that does not answer is
    asked for the outcomes of changes for `settle_timeout`.
    """

    approval_timeout: float = 1800
    start_timeout: float = 300
    change_timeout: float = CHANGE_SECONDS
    read_timeout: float = READ_SECONDS
    grant_lifetime: float = 15
    send_timeout: float = 10
    record_timeout: float = 300
    settle_timeout: float = 60
    max_turns: int = 25
    max_auto_continue: int = 2
    tool_budget: ToolBudget = field(default_factory=ToolBudget)
    budgets: tuple[Budget, ...] = ()
    retention_days: int | None = None
    compaction_percent: int = 80

    def call_timeout(self, requested: float, *, reads: bool) -> float:
        """Return the seconds for which a call may run: the limit of its kind, or more if its tool asks for more."""
        return max(self.read_timeout if reads else self.change_timeout, requested)

    @property
    def approval_timeout_ms(self) -> int:
        return int(self.approval_timeout * 1000)

    @property
    def start_timeout_ms(self) -> int:
        return int(self.start_timeout * 1000)
