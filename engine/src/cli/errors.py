"""Expected failures of a command, each with a message that names the next step, and their exit codes.

CliError 1
├── UsageError 2        options that contradict each other, an empty message
├── Unreachable 4       nothing answers at the address
├── ConnectionLost 4    the connection broke after it was established
├── TooLate 4           another person decided first, or the approval expired
└── EngineError 4       the engine rejected the request
"""

from http import HTTPStatus

from src.cli.jsontypes import JsonObject, text

__all__ = [
    "DONE",
    "FAILED",
    "NOT_MADE",
    "REFUSED",
    "STOPPED",
    "USAGE",
    "WAITING",
    "CliError",
    "ConnectionLost",
    "EngineError",
    "TooLate",
    "Unreachable",
    "UsageError",
]

DONE, FAILED, USAGE, WAITING, REFUSED, NOT_MADE, STOPPED = 0, 1, 2, 3, 4, 5, 130

_TEMPORARY_STATUSES = frozenset({429, 502, 503, 504})


class CliError(Exception):
    """Ends the command: prints the message and exits with `code`."""

    code = FAILED
    is_temporary = False
    """Whether a retry after a short wait may succeed."""


class UsageError(CliError):
    code = USAGE


class Unreachable(CliError):
    code = REFUSED
    is_temporary = True


class ConnectionLost(CliError):
    code = REFUSED
    is_temporary = True


class TooLate(CliError):
    code = REFUSED


class EngineError(CliError):
    """An error response of the engine. `problem` is its body, `problem_code` the code in it."""

    code = REFUSED

    def __init__(self, status: int, problem: JsonObject) -> None:
        super().__init__(text(problem, "detail") or f"The engine answers {status} {_describe_status(status)}.")
        self.status = status
        self.problem = problem
        self.is_temporary = status in _TEMPORARY_STATUSES

    @property
    def problem_code(self) -> str:
        return text(self.problem, "code")


def _describe_status(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "without a reason"
