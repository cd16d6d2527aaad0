"""The answers of Prometheus' HTTP API, as far as the tools use them."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from skyflo_common.jsontypes import JsonObject

DataT = TypeVar("DataT")
Sample = tuple[float, str]
"""A time in seconds and a value as text: `NaN` and `+Inf` are values."""


def _empty_for_null(value: Any) -> Any:
    return [] if value is None else value


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class Answer(_Model, Generic[DataT]):
    status: Literal["success"]
    data: DataT
    warnings: list[str] = []
    infos: list[str] = []


class Refusal(_Model):
    status: Literal["error"]
    error_type: str = ""
    error: str = ""


class Series(_Model):
    """One series of a result. A native histogram has its own fields in place of a value."""

    metric: dict[str, str] = {}
    value: Sample | None = None
    values: list[Sample] = []
    histogram: tuple[float, JsonObject] | None = None
    histograms: list[tuple[float, JsonObject]] = []


class SeriesResult(_Model):
    result_type: Literal["vector", "matrix"]
    result: list[Series]


class SingleResult(_Model):
    result_type: Literal["scalar", "string"]
    result: Sample


QueryResult = Annotated[SeriesResult | SingleResult, Field(discriminator="result_type")]


class Alert(_Model):
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    state: str = ""
    active_at: str = ""
    value: str = ""


class Alerts(_Model):
    alerts: Annotated[list[Alert], BeforeValidator(_empty_for_null)]


class Rule(_Model):
    type: str = ""
    name: str = ""
    query: str = ""
    state: str = ""
    health: str = ""
    last_error: str = ""
    duration: float = 0
    labels: dict[str, str] = {}


class RuleGroup(_Model):
    name: str = ""
    file: str = ""
    rules: Annotated[list[Rule], BeforeValidator(_empty_for_null)] = []


class RuleGroups(_Model):
    groups: Annotated[list[RuleGroup], BeforeValidator(_empty_for_null)]


class Target(_Model):
    labels: dict[str, str] = {}
    scrape_pool: str = ""
    scrape_url: str = ""
    health: str = ""
    last_error: str = ""
    last_scrape: str = ""


class Targets(_Model):
    active_targets: Annotated[list[Target], BeforeValidator(_empty_for_null)]


QUERY: TypeAdapter[Answer[QueryResult]] = TypeAdapter(Answer[QueryResult])
QUERY_RANGE: TypeAdapter[Answer[SeriesResult]] = TypeAdapter(Answer[SeriesResult])
SERIES: TypeAdapter[Answer[list[dict[str, str]]]] = TypeAdapter(Answer[list[dict[str, str]]])
ALERTS: TypeAdapter[Answer[Alerts]] = TypeAdapter(Answer[Alerts])
RULES: TypeAdapter[Answer[RuleGroups]] = TypeAdapter(Answer[RuleGroups])
TARGETS: TypeAdapter[Answer[Targets]] = TypeAdapter(Answer[Targets])
REFUSAL: TypeAdapter[Refusal] = TypeAdapter(Refusal)
