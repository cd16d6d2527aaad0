"""What the Prometheus tools share."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from skyflo_tools.errors import InvalidArguments, ToolFailure
from skyflo_tools.prometheus.client import PrometheusClient
from skyflo_tools.prometheus.models import Answer
from skyflo_tools.shortening import one_line
from skyflo_tools.tool import CallContext

PROMETHEUS_TAGS = frozenset({"prometheus"})
MAX_NOTES = 5
NOTE_CHARACTERS = 600

Query = Annotated[str, Field(min_length=1, max_length=8000, description="PromQL.")]
Time = Annotated[str, Field(default="", max_length=40, description="RFC 3339. Default: now.")]
Search = Annotated[str, Field(default="", max_length=200, description="Only those that contain this text.")]


def open_prometheus(call: CallContext) -> PrometheusClient:
    client = call.services.prometheus
    if client is None:
        raise ToolFailure("no Prometheus is configured", code="prometheus_missing", hint="set PROMETHEUS_URL")
    return client


def parse_time(text: str, call: CallContext) -> float:
    """Return a time in seconds; now for an empty text. Raises InvalidArguments."""
    if not text:
        return call.services.clock.now() / 1000
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise InvalidArguments(f"{text!r} is no time", hint="such as 2026-11-29T12:00:00Z") from error


def notes_of(answer: Answer[Any]) -> list[str]:
    """Return what Prometheus itself warns of, such as results that are not complete."""
    found = [one_line(each, NOTE_CHARACTERS) for each in (*answer.warnings, *answer.infos)]
    more = len(found) - MAX_NOTES
    return [f"Prometheus: {each}" for each in found[:MAX_NOTES]] + ([f"{more} more notes"] if more > 0 else [])


def contains(search: str, *texts: str) -> bool:
    return not search or any(search.casefold() in text.casefold() for text in texts)
