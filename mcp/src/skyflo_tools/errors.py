"""What can go wrong, as facts with a cause, an effect and a next step.

ToolFailure
├── BadArguments            the call does not fit the tool's schema
├── GrantRefused            grant_missing, grant_invalid, grant_expired, grant_used, grant_revoked, grant_mismatch
├── StoreUnavailable        the store of used grants can't be written: no change may run
├── ClusterProblem          no such cluster, read-only, unreachable, no kubeconfig
├── ApiRefused              the API server answered with an error
├── ApiUnreachable          no answer, or one that can't be read
│   └── AnswerTooLarge      an answer over the limit, not read to its end
├── Stale                   what the approval was about has changed since it was shown
└── DeadlinePassed          the call ran out of time
"""

from typing import Literal

Effect = Literal["none", "done", "partial", "unknown"]


class ToolFailure(Exception):
    """An error that a caller can act on.

    `code` is stable and for programs, `message` says what failed and on which object, `hint` what to try, `effect`
    whether anything was changed.
    """

    code = "failed"

    def __init__(self, message: str, *, code: str | None = None, effect: Effect = "none", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.effect: Effect = effect
        self.hint = hint


class BadArguments(ToolFailure):
    code = "bad_arguments"


class GrantRefused(ToolFailure):
    code = "grant_invalid"


class StoreUnavailable(ToolFailure):
    code = "store_unavailable"


class ClusterProblem(ToolFailure):
    code = "cluster_unavailable"


class ApiRefused(ToolFailure):
    """The API server answered and refused. `status` is HTTP's, `reason`, `causes` and `fields` are Kubernetes'."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        reason: str,
        causes: tuple[str, ...] = (),
        fields: tuple[str, ...] = (),
        code: str | None = None,
        effect: Effect = "none",
        hint: str = "",
    ) -> None:
        super().__init__(message, code=code or "api_refused", effect=effect, hint=hint)
        self.status = status
        self.reason = reason
        self.causes = causes
        self.fields = fields

    def told(self, message: str, *, code: str | None = None, hint: str | None = None) -> "ApiRefused":
        """The same refusal in other words."""
        return ApiRefused(
            message,
            status=self.status,
            reason=self.reason,
            causes=self.causes,
            fields=self.fields,
            code=code or self.code,
            effect=self.effect,
            hint=self.hint if hint is None else hint,
        )

    @property
    def is_conflict(self) -> bool:
        """A 409 that only says that the object moved meanwhile; beginning again may help."""
        return self.status == 409 and self.reason == "Conflict" and "FieldManagerConflict" not in self.causes

    @property
    def is_missing(self) -> bool:
        return self.status == 404 and self.reason == "NotFound"


class ApiUnreachable(ToolFailure):
    """No readable answer. `sent` is false only if the connection was never made."""

    code = "api_unreachable"

    def __init__(self, message: str, *, sent: bool, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.sent = sent


class AnswerTooLarge(ApiUnreachable):
    code = "answer_too_large"


class Stale(ToolFailure):
    code = "stale_preview"


class DeadlinePassed(ToolFailure):
    code = "deadline_passed"
