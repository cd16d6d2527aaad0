"""Errors of the tool server. Each has a code, a message, an effect and a hint for the next step.

ToolFailure
├── InvalidArguments        the arguments do not match the tool's schema
├── GrantRefused            grant_missing, grant_invalid, grant_expired, grant_used, grant_revoked, grant_mismatch
├── StoreUnavailable        the grant store can't be written, so no change may run
├── ClusterError            no such cluster, read-only, bad credentials, no kubeconfig
├── ApiStatusError          the API server responded with an error status
├── ApiUnreachable          no response, or one that can't be read
│   ├── ResponseTooLarge    the response exceeds the limit and was not read to its end
│   └── UnreadableResponse  the response is not what an API server sends: a web page, a redirect, cut JSON
├── NoDifference            the change would change nothing
├── StalePreview            the object has changed since the preview that was approved
├── CommandNotStarted       the container's runtime could not start the command
└── DeadlineExceeded        the call ran out of time
"""

from typing import Literal

Effect = Literal["none", "done", "partial", "unknown"]


class ToolFailure(Exception):
    """An error that the caller can act on.

    `code` is stable and meant for programs, `message` says what failed on which object, `hint` suggests a next step,
    and `effect` says whether anything was changed.
    """

    code = "failed"

    def __init__(self, message: str, *, code: str | None = None, effect: Effect = "none", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.effect: Effect = effect
        self.hint = hint


class InvalidArguments(ToolFailure):
    code = "bad_arguments"


class GrantRefused(ToolFailure):
    code = "grant_invalid"


class StoreUnavailable(ToolFailure):
    code = "store_unavailable"


class ClusterError(ToolFailure):
    code = "cluster_unavailable"


class ApiStatusError(ToolFailure):
    """An error response of the API server: its HTTP status, and reason, causes and fields of its Status object."""

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

    def with_message(self, message: str, *, code: str | None = None, hint: str | None = None) -> "ApiStatusError":
        """Return a copy with another message, and optionally another code and hint."""
        return ApiStatusError(
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
        """Whether the object changed since it was read (409 Conflict). Reading it again and retrying may succeed."""
        return self.status == 409 and self.reason == "Conflict" and "FieldManagerConflict" not in self.causes

    @property
    def is_missing(self) -> bool:
        return self.status == 404 and self.reason == "NotFound"


class ApiUnreachable(ToolFailure):
    """No readable response. `sent` is false only if no connection was made."""

    code = "api_unreachable"

    def __init__(self, message: str, *, sent: bool, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.sent = sent


class ResponseTooLarge(ApiUnreachable):
    code = "answer_too_large"


class UnreadableResponse(ApiUnreachable):
    """A response that no API server sends. Its content says more than its status."""


class NoDifference(ToolFailure):
    code = "no_difference"


class StalePreview(ToolFailure):
    code = "stale_preview"


class CommandNotStarted(ToolFailure):
    code = "command_not_started"


class DeadlineExceeded(ToolFailure):
    code = "deadline_passed"
