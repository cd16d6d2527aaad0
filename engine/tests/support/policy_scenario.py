"""A crash scenario in which a policy rule allows the changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.client import FollowedRun
    from tests.support.crash_scenarios import ScenarioContext

__all__ = ["is_policy_approval", "run_allowed_changes"]


def is_policy_approval(event: dict[str, Any]) -> bool:
    return event["type"] == "tool.approved" and str(event["decided_by"]).startswith("policy:")


def run_allowed_changes(context: ScenarioContext) -> FollowedRun:
    """Run a read and two changes without asking for approval; check that each change runs at most once."""
    followed = context.new_run()
    followed.chat()
    followed.until()
    followed.follow()
    assert followed.run()["state"] == "completed"
    given = [event for event in followed.events if is_policy_approval(event)]
    assert [event["args"]["name"].removeprefix(context.thing) for event in given] in (["-a", "-b"], [])
    assert {followed.approval(event["call_id"])["decided_by"] for event in given} <= {"policy:free"}
    assert followed.open_calls == []
    assert len([event for event in followed.replay() if is_policy_approval(event)]) == 2
    order = [effect["name"].removeprefix(context.thing) for effect in context.effects()]
    assert order in (["-a", "-b"], ["-a"], [])
    return followed
