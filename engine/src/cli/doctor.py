"""Run `skyflo doctor`: check the installation and print what to do."""

from __future__ import annotations

import os

from rich.text import Text

from src.cli import checks_cluster, checks_local, checks_role
from src.cli.check_result import SIGNS, CheckResult, CheckState, failed, passed, warned
from src.cli.client import EngineClient, open_engine
from src.cli.console import Terminal, write_json
from src.cli.errors import DONE, FAILED, CliError, Unreachable
from src.cli.jsontypes import Json, JsonObject, number, objects, text
from src.cli.text import one_line

__all__ = ["check_engine", "check_this_machine", "doctor"]

_STATES: dict[str, CheckState] = {"ok": "ok", "off": "ok", "degraded": "warning", "starting": "warning"}
_STYLES: dict[CheckState, str] = {"ok": "green", "warning": "yellow", "error": "red"}


def doctor(as_json: bool, role: str | None, server: str | None, insecure: bool) -> int:
    """Run all checks, for the role if one is given. Returns 0 if none failed; warnings are allowed."""
    if role is not None:
        os.environ["ENGINE_ROLE"] = role
    with open_engine(server, insecure) as engine:
        local = check_this_machine() if engine.server.is_loopback else []
        results = [*local, *check_engine(engine)]
    usable = all(each.state != "error" for each in results)
    if as_json:
        rows: list[Json] = [{"check": each.name, "state": each.state, "detail": each.detail} for each in results]
        write_json({"usable": usable, "checks": rows})
    else:
        _print_results(results)
    return DONE if usable else FAILED


def check_this_machine() -> list[CheckResult]:
    """Check settings, data, services and cluster from here, without an engine."""
    settings, settings_results = checks_local.check_settings()
    if settings is None:
        return settings_results
    replaced, sandbox_results = checks_local.check_sandbox(settings)
    return [
        *settings_results,
        *checks_local.check_data_folder(settings),
        *checks_local.check_database(settings),
        *checks_local.check_redis(settings),
        *checks_role.check_role(settings),
        *checks_local.check_model(settings, replaced.model),
        *checks_cluster.check_cluster(settings, replaced.cluster),
        *checks_local.check_tool_servers(settings),
        *sandbox_results,
    ]


def check_engine(engine: EngineClient) -> list[CheckResult]:
    """Read the health of a running engine.

    On this machine an unreachable engine is only a warning, since it may not have been started yet.
    """
    url = engine.server.url
    try:
        health = engine.health("/health/ready")
    except Unreachable as error:
        return [warned("engine", str(error)) if engine.server.is_loopback else failed("engine", str(error))]
    except CliError as error:
        return [failed("engine", str(error))]
    return [
        passed("engine", f"{url} answers."),
        *(_dependency_result(each) for each in objects(health, "dependencies")[:50]),
    ]


def _dependency_result(dependency: JsonObject) -> CheckResult:
    state = _STATES.get(text(dependency, "state"), "error")
    parts = [text(dependency, "state"), text(dependency, "hint"), text(dependency, "error")]
    if state == "ok" and "latency_ms" in dependency and not parts[1]:
        parts[0] = f"ok, {number(dependency, 'latency_ms')} ms"
    detail = ": ".join(part for part in (parts[0], " ".join(each for each in parts[1:] if each)) if part)
    return CheckResult(f"engine: {one_line(text(dependency, 'name'), 40)}", state, one_line(detail, 500))


def _print_results(results: list[CheckResult]) -> None:
    terminal = Terminal()
    width = max(len(each.name) for each in results)
    for each in results:
        row = Text.assemble((SIGNS[each.state], _STYLES[each.state]), f" {each.name:<{width}}  {each.detail}")
        terminal.out.print(row, soft_wrap=True)
