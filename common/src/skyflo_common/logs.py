"""Format log records as JSON lines, and add the ids of the request, run and trace that a record belongs to."""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType

__all__ = ["ContextFilter", "JsonFormatter", "log_context"]

_NOTHING: Mapping[str, str] = MappingProxyType({})
_fields: ContextVar[Mapping[str, str]] = ContextVar("fields of log records", default=_NOTHING)
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}
_ACTION = re.compile(r"action=([\w.]+)")
_MAX_TEXT = 16_384


@contextmanager
def log_context(**fields: str) -> Iterator[None]:
    """Add these fields to every record that the block logs, also in tasks that it starts."""
    token = _fields.set({**_fields.get(), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


class ContextFilter(logging.Filter):
    """Set the fields of `log_context` on each record that does not have them yet."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in _fields.get().items():
            if name not in record.__dict__:
                setattr(record, name, value)
        return True


class JsonFormatter(logging.Formatter):
    """Write one JSON object per record: time in UTC, level, logger, message, action, ids, and what was extra."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": message[:_MAX_TEXT],
        }
        if found := _ACTION.match(message):
            line["action"] = found[1]
        line |= {name: _plain(value) for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[-_MAX_TEXT:]
        return json.dumps(line, ensure_ascii=False)


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | bool | None) else str(value)[:_MAX_TEXT]
