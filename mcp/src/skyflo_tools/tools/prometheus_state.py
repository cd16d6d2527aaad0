"""The tools prometheus_alerts, prometheus_rules and prometheus_targets: what Prometheus watches, and how it is."""

from collections import Counter

from pydantic import BaseModel

from skyflo_tools.kubernetes.ages import format_age
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines
from skyflo_tools.prometheus import models
from skyflo_tools.prometheus.models import Alert, Rule, Target
from skyflo_tools.prometheus.summaries import format_labels, format_value, to_number
from skyflo_tools.shortening import one_line
from skyflo_tools.tool import CallContext, ReadTool, ToolArguments, ToolInfo, ToolOutput
from skyflo_tools.tools.prometheus_arguments import PROMETHEUS_TAGS, Search, contains, notes_of, open_prometheus

MAX_SHOWN = 100
TEXT_CHARACTERS = 400
QUERY_CHARACTERS = 300
NARROW = "narrow with search"
_TEXTS = ("summary", "description", "message")


class SearchArguments(ToolArguments):
    search: Search


class AlertEntry(BaseModel):
    name: str
    state: str
    labels: str
    since: str
    value: str
    text: str

    def line(self) -> str:
        since = f" for {self.since}" if self.since else ""
        text = f": {self.text}" if self.text else ""
        return f"{self.state}{since}: {self.name} {self.labels} = {self.value}{text}"


class AlertList(BaseModel):
    alerts: list[AlertEntry]
    firing: int
    pending: int
    notes: list[str] = []


class RuleEntry(BaseModel):
    group: str
    name: str
    type: str
    state: str
    health: str
    query: str
    error: str = ""

    def line(self) -> str:
        state = "".join([f" {self.state}" if self.state else "", f", {self.health}" if self.health != "ok" else ""])
        error = f" ERROR: {self.error}" if self.error else ""
        return f"{self.type} {self.group}/{self.name}{state}: {self.query}{error}"


class RuleList(BaseModel):
    rules: list[RuleEntry]
    total: int
    notes: list[str] = []


class TargetEntry(BaseModel):
    job: str
    instance: str
    health: str
    url: str
    last_scrape: str
    error: str = ""

    def line(self) -> str:
        error = f": {self.error}" if self.error else ""
        return f"{self.health}: {self.job} {self.instance} ({self.url}, last scrape {self.last_scrape}){error}"


class TargetList(BaseModel):
    jobs: dict[str, str]
    """Targets that are up, of all, by job."""
    down: list[TargetEntry]
    notes: list[str] = []


async def alerts(arguments: SearchArguments, call: CallContext) -> ToolOutput[AlertList]:
    answer = await open_prometheus(call).ask("alerts", {}, models.ALERTS)
    wanted = [each for each in answer.data.alerts if contains(arguments.search, *_alert_texts(each))]
    newest = sorted(wanted, key=lambda each: each.active_at, reverse=True)
    ordered = sorted(newest, key=lambda each: each.state != "firing")
    states = Counter(each.state for each in wanted)
    result = AlertList(
        alerts=[_alert_entry(each, call) for each in ordered[:MAX_SHOWN]],
        firing=states["firing"],
        pending=states["pending"],
        notes=notes_of(answer) + _left_out(len(ordered)),
    )
    title = f"{result.firing} firing, {result.pending} pending alerts of Prometheus' rules; silences are not known here"
    lines = limit_lines([each.line() for each in result.alerts], TEXT_BYTES, "alerts", NARROW)
    return ToolOutput("\n".join(each for each in [title, *result.notes, lines] if each), result)


def _alert_texts(alert: Alert) -> list[str]:
    return [format_labels(alert.labels), *alert.annotations.values(), alert.state]


def _alert_entry(alert: Alert, call: CallContext) -> AlertEntry:
    labels = {key: value for key, value in alert.labels.items() if key != "alertname"}
    texts = [alert.annotations[key] for key in _TEXTS if alert.annotations.get(key)]
    return AlertEntry(
        name=alert.labels.get("alertname", ""),
        state=alert.state,
        labels=format_labels(labels),
        since=format_age(alert.active_at, call.services.clock.now()),
        value=format_value(to_number(alert.value)),
        text=one_line(" ".join(texts), TEXT_CHARACTERS),
    )


async def rules(arguments: SearchArguments, call: CallContext) -> ToolOutput[RuleList]:
    answer = await open_prometheus(call).ask("rules", {}, models.RULES)
    found = [(group.name, rule) for group in answer.data.groups for rule in group.rules]
    wanted = [each for each in found if contains(arguments.search, each[0], each[1].name, each[1].query, each[1].state)]
    ordered = sorted(wanted, key=lambda each: _rule_order(each[1]))
    result = RuleList(
        rules=[_rule_entry(*each) for each in ordered[:MAX_SHOWN]],
        total=len(wanted),
        notes=notes_of(answer) + _left_out(len(wanted)),
    )
    broken = sum(rule.health == "err" for _, rule in wanted)
    title = f"{len(wanted)} rules, {broken} can't be evaluated"
    lines = limit_lines([each.line() for each in result.rules], TEXT_BYTES, "rules", NARROW)
    return ToolOutput("\n".join(each for each in [title, *result.notes, lines] if each), result)


def _rule_order(rule: Rule) -> tuple[bool, int]:
    """Put broken rules first, then those that fire, then those that are pending."""
    return rule.health != "err", {"firing": 0, "pending": 1}.get(rule.state, 2)


def _rule_entry(group: str, rule: Rule) -> RuleEntry:
    return RuleEntry(
        group=group,
        name=rule.name,
        type=rule.type,
        state=rule.state,
        health=rule.health,
        query=one_line(rule.query, QUERY_CHARACTERS) + (f" for {rule.duration:g} s" if rule.duration else ""),
        error=one_line(rule.last_error, TEXT_CHARACTERS),
    )


async def targets(arguments: SearchArguments, call: CallContext) -> ToolOutput[TargetList]:
    answer = await open_prometheus(call).ask("targets", {"state": "active"}, models.TARGETS)
    wanted = [each for each in answer.data.active_targets if contains(arguments.search, *_target_texts(each))]
    totals = Counter(_job_of(each) for each in wanted)
    up = Counter(_job_of(each) for each in wanted if each.health == "up")
    down = [each for each in wanted if each.health != "up"]
    jobs = {job: f"{up[job]}/{count}" for job, count in sorted(totals.items(), key=lambda each: up[each[0]] >= each[1])}
    result = TargetList(
        jobs=dict(list(jobs.items())[:MAX_SHOWN]),
        down=[_target_entry(each) for each in down[:MAX_SHOWN]],
        notes=notes_of(answer) + _left_out(len(down)) + _left_out(len(jobs), "jobs"),
    )
    if not wanted:
        return ToolOutput("\n".join(["No active target matches.", *result.notes]), result)
    title = f"{len(wanted) - len(down)} of {len(wanted)} targets are up"
    lines = [each.line() for each in result.down] + [f"job {job}: {counts} up" for job, counts in result.jobs.items()]
    return ToolOutput("\n".join([title, *result.notes, limit_lines(lines, TEXT_BYTES, "lines", NARROW)]), result)


def _job_of(target: Target) -> str:
    return target.labels.get("job") or target.scrape_pool


def _target_texts(target: Target) -> list[str]:
    return [format_labels(target.labels), target.scrape_pool, target.scrape_url, target.health]


def _target_entry(target: Target) -> TargetEntry:
    return TargetEntry(
        job=_job_of(target),
        instance=target.labels.get("instance", ""),
        health=target.health,
        url=one_line(target.scrape_url, QUERY_CHARACTERS),
        last_scrape=target.last_scrape[:19],
        error=one_line(target.last_error, TEXT_CHARACTERS),
    )


def _left_out(count: int, what: str = "") -> list[str]:
    more = count - MAX_SHOWN
    return [f"{more} more {what or 'entries'} are not shown: {NARROW}"] if more > 0 else []


ALERTS = ReadTool(
    ToolInfo("prometheus_alerts", "Alerts", "Lists firing and pending alerts.", tags=PROMETHEUS_TAGS),
    SearchArguments,
    alerts,
)
RULES = ReadTool(
    ToolInfo(
        "prometheus_rules", "Rules", "Lists alerting and recording rules, broken and firing ones first.",
        tags=PROMETHEUS_TAGS,
    ),
    SearchArguments,
    rules,
)  # fmt: skip
TARGETS = ReadTool(
    ToolInfo(
        "prometheus_targets", "Scrape targets", "Counts what Prometheus scrapes, and names targets that are down.",
        tags=PROMETHEUS_TAGS,
    ),
    SearchArguments,
    targets,
)  # fmt: skip
