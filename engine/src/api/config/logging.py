"""Configure log lines: one fact each, with `action=` and ids at the end or as JSON, to standard error."""

import logging
from logging.config import dictConfig
from typing import Literal

from skyflo_common.logs import ContextFilter, JsonFormatter

__all__ = ["configure_logging"]

# Even with DEBUG: drivers log statements with their values, which are users' data.
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
_MUTE = ("mcp", "client")  # the MCP client's traces quote servers' answers; our adapter logs failures without secrets


_FIELDS = ("action", "run_id", "request_id", "trace_id")


class _Formatter(logging.Formatter):
    """Append the record's `action` and ids, and escape line breaks in quoted text."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not record.exc_info:
            text = text.replace("\r", "\\r").replace("\n", "\\n")
        fields = {name: getattr(record, name, None) for name in _FIELDS}
        missing = [f"{name}={value}" for name, value in fields.items() if value and f" {name}=" not in text]
        return " ".join([text, *missing])


def configure_logging(level: str, style: Literal["text", "json"] = "text") -> None:
    """Configure logging for a process of the engine. The engine logs requests, so uvicorn does not."""
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "text": {"()": _Formatter, "format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
                "json": {"()": JsonFormatter},
            },
            "filters": {"context": {"()": ContextFilter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": style, "filters": ["context"]}},
            "root": {"level": level, "handlers": ["stderr"]},
            "loggers": {
                "uvicorn.access": {"handlers": [], "propagate": False, "level": "CRITICAL"},
                **{name: {"level": "WARNING"} for name in _QUIET},
                **{name: {"level": "CRITICAL"} for name in _MUTE},
            },
        }
    )
