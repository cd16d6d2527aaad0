"""The errors of the engine: facts, each with its HTTP status, a cause and a next step.

    EngineError
    ├── BadRequest 400            what was sent can't be taken
    │   └── AmbiguousLength       two lengths of one body
    ├── NotAuthenticated 401
    ├── Forbidden 403
    ├── NotFound 404              unknown, or not the caller's to see
    ├── Conflict 409
    │   ├── ConversationBusy      a run is under way
    │   ├── AlreadyDecided        the call was decided before
    │   ├── CredentialsUnreadable lost, changed by hand, or sealed with a key that is not there
    │   ├── DigestMismatch        what was approved is not what was shown
    │   └── NotDecidable          expired, superseded, stale, stopped
    ├── TooSlow 408
    ├── TooLarge 413
    ├── AddressTooLong 414
    ├── UnsupportedMedia 415
    ├── Unprocessable 422
    │   └── KeyReused             an idempotency key with another body
    ├── TooManyRequests 429
    ├── Unavailable 503
    │   ├── StoreUnavailable
    │   ├── BusUnavailable
    │   ├── MailUnavailable
    │   ├── IdentityUnavailable
    │   ├── SandboxUnavailable
    │   ├── SecretsUnavailable    not known whether it was done
    │   │   └── SecretsRefused    known not to be done
    │   └── ToolsUnavailable
    ├── BudgetReached 429         no more model calls within a budget; ends a run
    ├── RunFenced                 this process no longer owns the run; never leaves the worker
    ├── RunStopped                Stop was asked for; never leaves the worker
    └── ModelError 502
        ├── ModelRefused          400, 401, 403, 404 and the like: repeating is useless
        │   └── ModelContextExceeded  the request does not fit the model's context window
        ├── ModelWroteCalls       tool calls as text: the model's host does not parse them
        ├── ModelUnavailable      429, 5xx, connection refused
        ├── ModelTimeout          connect, first token, between tokens
        └── ModelCut              the stream ended before the provider said that it had

`detail` is a sentence that a person can act on. It holds no secret and no internal path.
"""

from collections.abc import Mapping
from types import MappingProxyType

from src.api.schemas.base import JsonObject


class EngineError(Exception):
    """Base class. `status` is the HTTP status, `code` is for programs, `extra` adds members to the response."""

    headers: Mapping[str, str] = MappingProxyType({})
    status = 500
    code = "internal"
    title = "Internal error"

    def __init__(self, detail: str, **extra: str | int | None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra: JsonObject = {name: value for name, value in extra.items() if value is not None}


class BadRequest(EngineError):
    status, code, title = 400, "bad_request", "The request can't be taken"


class AmbiguousLength(BadRequest):
    code = "ambiguous_length"


class NotAuthenticated(EngineError):
    status, code, title = 401, "not_authenticated", "Sign in first"
    headers = MappingProxyType({"WWW-Authenticate": "Bearer"})


class Forbidden(EngineError):
    status, code, title = 403, "forbidden", "Not allowed"


class NotFound(EngineError):
    status, code, title = 404, "not_found", "Not found"


class Conflict(EngineError):
    status, code, title = 409, "conflict", "Conflict"


class ConversationBusy(Conflict):
    code = "conversation_busy"


class AlreadyDecided(Conflict):
    code = "already_decided"


class CredentialsUnreadable(Conflict):
    code = "credentials_unreadable"


class DigestMismatch(Conflict):
    code = "digest_mismatch"


class NotDecidable(Conflict):
    code = "not_decidable"


class TooSlow(EngineError):
    status, code, title = 408, "too_slow", "The request did not arrive"


class TooLarge(EngineError):
    status, code, title = 413, "too_large", "Too large"


class AddressTooLong(EngineError):
    status, code, title = 414, "address_too_long", "The address is too long"


class UnsupportedMedia(EngineError):
    status, code, title = 415, "unsupported_media", "This content type is not taken here"


class Unprocessable(EngineError):
    status, code, title = 422, "unprocessable", "The request does not make sense"


class KeyReused(Unprocessable):
    code = "idempotency_key_reused"


class TooManyRequests(EngineError):
    """`retry_after` is in seconds and is sent as the header of that name."""

    status, code, title = 429, "too_many_requests", "Too many requests"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.headers = MappingProxyType({"Retry-After": str(retry_after)})


class Unavailable(EngineError):
    status, code, title = 503, "unavailable", "Not available at the moment"


class StoreUnavailable(Unavailable):
    code = "store_unavailable"


class BusUnavailable(Unavailable):
    code = "bus_unavailable"


class MailUnavailable(Unavailable):
    code = "mail_unavailable"


class IdentityUnavailable(Unavailable):
    code = "identity_unavailable"


class SandboxUnavailable(Unavailable):
    code = "sandbox_unavailable"


class SecretsUnavailable(Unavailable):
    code = "secrets_unavailable"


class SecretsRefused(SecretsUnavailable):
    code = "secrets_refused"


class ToolsUnavailable(Unavailable):
    code = "tools_unavailable"


class BudgetReached(EngineError):
    status, code, title = 429, "budget_reached", "A budget is used up"


class RunFenced(EngineError):
    code = "run_fenced"


class RunStopped(EngineError):
    code = "run_stopped"


class ModelError(EngineError):
    """A failed model call. `retryable` is whether a retry makes sense; `retry_after` is in seconds."""

    status, code, title = 502, "model_error", "The model did not answer"
    retryable = False

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class ModelRefused(ModelError):
    code = "model_refused"


class ModelContextExceeded(ModelRefused):
    """`limit` is the size of the context window in tokens, if the provider named it."""

    code = "model_context_exceeded"

    def __init__(self, detail: str, limit: int | None = None) -> None:
        super().__init__(detail)
        self.limit = limit


class ModelWroteCalls(ModelError):
    code = "model_wrote_calls"


class ModelUnavailable(ModelError):
    code = "model_unavailable"
    retryable = True


class ModelTimeout(ModelError):
    code = "model_timeout"
    retryable = True


class ModelCut(ModelError):
    code = "model_cut"
    retryable = True
