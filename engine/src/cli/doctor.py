"""`skyflo doctor`: what works, what does not, and what to do about it."""

from __future__ import annotations

from rich.text import Text

from src.cli import checks_cluster, checks_here
from src.cli.client import Engine, engine_at
from src.cli.console import Terminal, write_json
from src.cli.errors import DONE, FAILED, CliError, Unreachable
from src.cli.findings import SIGNS, Finding, State, bad, good, odd
from src.cli.jsontypes import Json, JsonObject, number, objects, text
from src.cli.words import line

__all__ = ["doctor"]

_STATES: dict[str, State] = {"ok": "ok", "off": "ok", "degraded": "warning", "starting": "warning"}
_STYLES: dict[State, str] = {"ok": "green", "warning": "yellow", "error": "red"}


def doctor(as_json: bool, server: str | None, insecure: bool) -> int:
    """Exit code 0 when all can be used, warnings or not."""
    with engine_at(server, insecure) as engine:
        here = _here() if engine.server.is_loopback else []
        findings = [*here, *_engine(engine)]
    usable = all(each.state != "error" for each in findings)
    if as_json:
        told: list[Json] = [{"check": each.name, "state": each.state, "detail": each.said} for each in findings]
        write_json({"usable": usable, "checks": told})
    else:
        _print(findings)
    return DONE if usable else FAILED


def _here() -> list[Finding]:
    settings, found = checks_here.settings()
    if settings is None:
        return found
    replaced, sandbox = checks_here.replaced(settings)
    return [
        *found,
        *checks_here.data_folder(settings),
        *checks_here.database(settings),
        *checks_here.redis(settings),
        *checks_here.model(settings, replaced.model),
        *checks_cluster.cluster(settings, replaced.cluster),
        *checks_here.tool_servers(settings),
        *sandbox,
    ]


def _engine(engine: Engine) -> list[Finding]:
    """What a running one says of itself. None on this machine is no fault: it may not have been started yet."""
    url = engine.server.url
    try:
        said = engine.health("/health/ready")
    except Unreachable as error:
        return [odd("engine", str(error)) if engine.server.is_loopback else bad("engine", str(error))]
    except CliError as error:
        return [bad("engine", str(error))]
    return [good("engine", f"{url} answers."), *(_dependency(each) for each in objects(said, "dependencies")[:50])]


def _dependency(one: JsonObject) -> Finding:
    state = _STATES.get(text(one, "state"), "error")
    parts = [text(one, "state"), text(one, "hint"), text(one, "error")]
    if state == "ok" and "latency_ms" in one and not parts[1]:
        parts[0] = f"ok, {number(one, 'latency_ms')} ms"
    said = ": ".join(part for part in (parts[0], " ".join(each for each in parts[1:] if each)) if part)
    return Finding(f"engine: {line(text(one, 'name'), 40)}", state, line(said, 500))


def _print(findings: list[Finding]) -> None:
    terminal = Terminal()
    width = max(len(each.name) for each in findings)
    for each in findings:
        told = Text.assemble((SIGNS[each.state], _STYLES[each.state]), f" {each.name:<{width}}  {each.said}")
        terminal.out.print(told, soft_wrap=True)
