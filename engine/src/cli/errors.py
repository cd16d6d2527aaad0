"""What can be expected to go wrong, each a sentence or two with the next step, and the exit code that tells of it.

CliError 1
├── WrongUse 2        options that make no sense together, a message that is empty
├── Unreachable 4     nothing answers at the address
├── Cut 4             it answered, and then the connection broke
├── TooLate 4         somebody else decided, or nobody did in time
└── Refused 4         the engine says no: not signed in, not allowed, not possible now
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
    "Cut",
    "Refused",
    "TooLate",
    "Unreachable",
    "WrongUse",
]

DONE, FAILED, USAGE, WAITING, REFUSED, NOT_MADE, STOPPED = 0, 1, 2, 3, 4, 5, 130

_FOR_A_WHILE = frozenset({429, 502, 503, 504})


class CliError(Exception):
    """Ends the command: the sentence is printed, `code` is the exit code."""

    code = FAILED
    passing = False
    """Whether trying again in a moment makes sense."""


class WrongUse(CliError):
    code = USAGE


class Unreachable(CliError):
    code = REFUSED
    passing = True


class Cut(CliError):
    code = REFUSED
    passing = True


class TooLate(CliError):
    code = REFUSED


class Refused(CliError):
    """The engine's own answer. `problem` is what it sent, `kind` its word for programs."""

    code = REFUSED

    def __init__(self, status: int, problem: JsonObject) -> None:
        super().__init__(text(problem, "detail") or f"The engine answers {status} {_phrase(status)}.")
        self.status = status
        self.problem = problem
        self.passing = status in _FOR_A_WHILE

    @property
    def kind(self) -> str:
        return text(self.problem, "code")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "and nothing else"
