"""Log lines: one fact each, `action=` first, to standard error."""

import logging
from logging.config import dictConfig

__all__ = ["configure_logging"]

# Even with DEBUG: drivers log statements with their values, which are people's rows.
_QUIET = (
    "httpx",
    "httpcore",
    "httpx2",
    "httpcore2",
    "litellm",
    "LiteLLM",
    "tortoise",
    "asyncpg",
    "aiosqlite",
    "psycopg",
)
_MUTE = ("mcp", "client")  # the MCP client: its traces quote what servers answer; our adapter says it without secrets


class _Formatter(logging.Formatter):
    """Puts the `action` of a record into its line, and keeps line breaks out of what others have said."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not record.exc_info:
            text = text.replace("\r", "\\r").replace("\n", "\\n")
        action = getattr(record, "action", None)
        return f"{text} action={action}" if action else text


def configure_logging(level: str) -> None:
    """For a process of its own, never for one that merely imports the engine. We log requests, so uvicorn need not."""
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": {"()": _Formatter, "format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"level": level, "handlers": ["stderr"]},
            "loggers": {
                "uvicorn.access": {"handlers": [], "propagate": False, "level": "CRITICAL"},
                **{name: {"level": "WARNING"} for name in _QUIET},
                **{name: {"level": "CRITICAL"} for name in _MUTE},
            },
        }
    )
