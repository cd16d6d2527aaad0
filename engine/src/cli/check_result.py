"""Results of the checks of `skyflo doctor`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from src.cli.text import one_line

__all__ = ["SIGNS", "CheckResult", "CheckState", "describe_error", "failed", "passed", "redact_url", "warned"]

CheckState = Literal["ok", "warning", "error"]
SIGNS: dict[CheckState, str] = {"ok": "✓", "warning": "!", "error": "✗"}
Check = Callable[[], list["CheckResult"]]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check. The engine works despite a warning, but not with an error."""

    name: str
    state: CheckState
    detail: str


def passed(name: str, detail: str) -> CheckResult:
    return CheckResult(name, "ok", one_line(detail, 500))


def warned(name: str, detail: str) -> CheckResult:
    return CheckResult(name, "warning", one_line(detail, 500))


def failed(name: str, detail: str) -> CheckResult:
    return CheckResult(name, "error", one_line(detail, 500))


def redact_url(url: str) -> str:
    """Return a URL without its parts that may be secret: user, password and query."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{parts.scheme}://{host}{port}{parts.path}".rstrip("/")


def describe_error(error: BaseException) -> str:
    """Describe an error in a few words, without the address that libraries put into it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    kind = type(error).__name__
    return {"ConnectError": "connection refused", "TimeoutError": "no answer in time"}.get(kind, kind)
