"""Settings that limit what language models may use, when they summarise, and how long conversations are kept."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

__all__ = ["UsageSettings"]

SMALLEST_SHARE = 30

_Tokens = Annotated[int | None, Field(ge=1, le=1_000_000_000_000)]
_Dollars = Annotated[float | None, Field(gt=0, le=1_000_000, allow_inf_nan=False)]


class UsageSettings(BaseSettings):
    """Settings of use, summaries and retention.

    The budgets are hard limits per run, per person and day, and of the whole team per day; unset: none. Their days are
    in UTC.
    """

    budget_run_tokens: _Tokens = None
    budget_run_usd: _Dollars = None
    budget_person_day_tokens: _Tokens = None
    budget_person_day_usd: _Dollars = None
    budget_team_day_tokens: _Tokens = None
    budget_team_day_usd: _Dollars = None

    retention_days: int | None = Field(default=None, ge=1, le=36_500)
    """Conversations without activity for this time are erased, as by their owners."""

    llm_compaction_percent: int = Field(default=80, ge=0, le=95)
    """How full the model's context window may get before older messages are summarised; 0: never."""

    @field_validator("llm_compaction_percent")
    @classmethod
    def _check_share(cls, value: int) -> int:
        if 0 < value < SMALLEST_SHARE:
            raise ValueError(f"is 0 for never, or at least {SMALLEST_SHARE}: summaries are made of older messages only")
        return value

    @field_validator("budget_run_usd", "budget_person_day_usd", "budget_team_day_usd")
    @classmethod
    def _check_tokens_beside_money(cls, value: float | None, info: ValidationInfo) -> float | None:
        """Require a limit that also holds for a model whose price is not known."""
        tokens = f"{(info.field_name or '').removesuffix('usd')}tokens"
        if value is not None and info.data.get(tokens, "") is None:
            raise ValueError(f"does not limit a model whose price is not known; set {tokens.upper()} too")
        return value
