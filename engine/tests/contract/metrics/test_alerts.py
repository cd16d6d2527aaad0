"""Alerts fire when they should and not otherwise, by promtool; each has a runbook, and dashboards use known metrics."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.services import PROJECT

RULES = PROJECT / "deployment" / "chart" / "alerts.yaml"
ALERTS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((PROJECT / "deployment" / "monitoring" / "dashboard.json").read_text())
UP = {"skyflo_build_info{}": "1x60", 'skyflo_database_readable{instance="a"}': "1x60"}
LAG = "skyflo_event_loop_lag_seconds_bucket"
CALLS = "skyflo_tool_call_seconds_count"

# For each alert: series under which it is firing after 30 minutes, and series under which it is not.
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "SkyfloEngineDown": ({}, UP),
    "SkyfloDatabaseUnreadable": ({'skyflo_database_readable{instance="a"}': "0x60"}, UP),
    "SkyfloChangeUnknown": (
        {'skyflo_changes_unsettled{instance="a"}': "0x10 1x50"},
        {"skyflo_changes_unsettled": "0x60"},
    ),
    "SkyfloApprovalWaitsLong": (
        {'skyflo_approvals_oldest_waiting_seconds{instance="a"}': "0+60x60"},
        {'skyflo_approvals_oldest_waiting_seconds{instance="a"}': "0+20x60"},
    ),
    "SkyfloNoWorker": (
        {'skyflo_runs{state="queued",instance="a"}': "0x20 1x40", 'skyflo_build_info{role="api",instance="a"}': "1x60"},
        {
            'skyflo_runs{state="queued",instance="a"}': "0x20 1x40",
            'skyflo_build_info{role="api",instance="a"}': "1x60",
            'skyflo_build_info{role="worker",instance="b"}': "_x20 1x40",
        },
    ),
    "SkyfloWorkersFull": (
        {
            'skyflo_build_info{role="api",instance="a"}': "1x60",
            'skyflo_runs_executing{instance="a"}': "0x60",
            'skyflo_build_info{role="worker",instance="b"}': "1x60",
            'skyflo_runs_executing{instance="b"}': "91x60",
        },
        {
            'skyflo_build_info{role="all",instance="a"}': "1x60",
            'skyflo_runs_executing{instance="a"}': "100x60",
            'skyflo_build_info{role="worker",instance="b"}': "1x60",
            'skyflo_runs_executing{instance="b"}': "80x60",
        },
    ),
    "SkyfloQueueGrows": (
        {'skyflo_runs{state="queued",instance="a"}': "11x60", 'skyflo_runs{state="queued",instance="b"}': "11x60"},
        # Every replica reports the same ten runs.
        {'skyflo_runs{state="queued",instance="a"}': "10x60", 'skyflo_runs{state="queued",instance="b"}': "10x60"},
    ),
    "SkyfloRunsFail": (
        {
            'skyflo_runs_ended_total{end="failed",code="model_refused"}': "0+1x60",
            'skyflo_runs_ended_total{end="completed"}': "0+2x60",
        },
        {
            'skyflo_runs_ended_total{end="failed",code="model_refused"}': "0+1x60",
            'skyflo_runs_ended_total{end="completed"}': "0+9x60",
        },
    ),
    "SkyfloLeasesLost": ({"skyflo_run_leases_lost_total": "0+1x60"}, {"skyflo_run_leases_lost_total": "0x20 1x40"}),
    "SkyfloToolCallsFail": (
        {
            f'{CALLS}{{server="skyflo",tool="k8s_get",outcome="failed"}}': "0+3x60",
            f'{CALLS}{{server="skyflo",tool="k8s_get",outcome="succeeded"}}': "0+1x60",
        },
        {
            f'{CALLS}{{server="skyflo",tool="k8s_get",outcome="failed"}}': "0+1x60",
            f'{CALLS}{{server="skyflo",tool="k8s_get",outcome="succeeded"}}': "0+3x60",
        },
    ),
    "SkyfloEventLoopLags": (
        {f'{LAG}{{instance="a",le="{le}"}}': f"0+{count}x60" for le, count in (("0.5", 10), ("1", 60), ("+Inf", 60))},
        {f'{LAG}{{instance="a",le="{le}"}}': f"0+{count}x60" for le, count in (("0.5", 59), ("1", 60), ("+Inf", 60))},
    ),
}


def test_every_alert_has_a_case_and_a_runbook() -> None:
    assert [alert["alert"] for alert in ALERTS] == list(CASES)
    for alert in ALERTS:
        page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert anchor == alert["alert"].lower()
        assert f"\n## {alert['alert']}\n" in (PROJECT / page).read_text()


@pytest.mark.usefixtures("prometheus_url")  # promtool comes with Prometheus
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    assert promtool is not None
    labels = {alert["alert"]: alert["labels"] for alert in ALERTS}
    tests = [
        _firing(name, series, labels[name], fires=fires)
        for name, both in CASES.items()
        for series, fires in zip(both, (True, False), strict=True)
    ]
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": tests}))
    done = subprocess.run(
        [promtool, "test", "rules", tmp_path / "tests.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _firing(name: str, series: dict[str, str], labels: dict[str, str], *, fires: bool) -> dict[str, Any]:
    """Return a test of promtool: the number of firing alerts of this name after 30 minutes."""
    firing = f'count(ALERTS{{alertname="{name}",alertstate="firing",severity="{labels["severity"]}"}})'
    expected = [{"labels": "{}", "value": 1}] if fires else []
    return {
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "promql_expr_test": [{"expr": firing, "eval_time": "30m", "exp_samples": expected}],
    }


def test_alerts_and_dashboard_use_known_metrics() -> None:
    page = (PROJECT / "docs" / "metrics.md").read_text()
    known = set(re.findall(r"^\| `(skyflo_\w+)`", page, re.MULTILINE))
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    used = {
        name for text in [*queries, *(alert["expr"] for alert in ALERTS)] for name in re.findall(r"skyflo_\w+", text)
    }
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in used} <= known
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
