"""A crash scenario that kills `skyflo admin`, which changes the database without an engine."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.pooled_process import pooled_run
from tests.support.services import PROJECT
from tests.support.sweep_scenario import make_old, wait_until_messages_erased
from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from tests.support.crash_scenarios import ScenarioContext
    from tests.support.engines import EngineProcess

__all__ = ["by_host", "pruned"]

OLD, NEW, PASSWORD = "ada@example.org", "lovelace@example.org", "correct horse battery staple"


def by_host(context: ScenarioContext) -> None:
    """Change an account's e-mail on the host. The command is killed and repeated: the change is recorded once."""
    engine = context.client.engine
    armed = engine.failpoints
    made = context.client.post("/auth/register/register", {"email": OLD, "password": PASSWORD})
    assert made.status_code == 201, made.text
    engine.kill()
    assert _change_email(engine, armed).returncode == -signal.SIGKILL
    again = _change_email(engine, "")
    assert (again.returncode, "No account uses" in again.stderr) == ((0, False) if "before" in armed else (1, True))
    context.client.restart_engine()
    assert [_sign_in(context, email) for email in (OLD, NEW)] == [400, 200]
    entries = context.client.get("/audit?action=user.email_changed")["data"]
    assert [each["action"] for each in entries] == ["user.email_changed"]


def pruned(context: ScenarioContext) -> None:
    """Prune on the host. The command is killed and repeated: the conversation is deleted and erased once."""
    engine = context.client.engine
    armed = engine.failpoints
    followed = context.new_run(both=False)
    followed.chat()
    followed.until("awaiting_approval")
    assert followed.decide(followed.call(context.thing), approve=False).status_code == 200
    followed.until("completed")
    asyncio.run(make_old(context, followed))
    engine.kill()
    prune = ("prune", "--days", "7")
    assert _run_admin(engine, armed, *prune).returncode == -signal.SIGKILL
    again = _run_admin(engine, "", *prune)
    assert (again.returncode, "Deleted 1" in again.stdout) == (0, "before" in armed)
    context.client.restart_engine()
    asyncio.run(wait_until_messages_erased(context, followed))
    entries = context.client.get("/audit?action=conversation.deleted")["data"]
    assert [each["actor"] for each in entries] == ["host"]


def _change_email(engine: EngineProcess, failpoints: str) -> subprocess.CompletedProcess[str]:
    return _run_admin(engine, failpoints, "change-email", OLD, NEW)


def _run_admin(engine: EngineProcess, failpoints: str, *command: str) -> subprocess.CompletedProcess[str]:
    armed = {"SKYFLO_TESTING": "1", "SKYFLO_FAILPOINTS": failpoints, "PYTHONPATH": str(PROJECT / "engine")}
    environment = {**engine.environment, **armed}
    return pooled_run(
        [sys.executable, "-m", "src.cli.main", "admin", *command],
        env=environment,
        cwd=engine.log.parent,
        text=True,
        capture_output=True,
        timeout=3 * PATIENCE,
    )


def _sign_in(context: ScenarioContext, email: str) -> int:
    url, login = f"{context.client.url}/auth/jwt/login", {"username": email, "password": PASSWORD}
    return context.client.retry(lambda: context.client.http.post(url, data=login)).status_code
