"""What happens in the crash suite where a rule of the policy says yes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.client import Talk
    from tests.support.scenarios import World

__all__ = ["by_policy", "runs_by_policy"]


def by_policy(event: dict[str, Any]) -> bool:
    return event["type"] == "tool.approved" and str(event["decided_by"]).startswith("policy:")


def runs_by_policy(world: World) -> Talk:
    """A read and two changes, of which nobody is asked: each runs at most once."""
    talk = world.talk()
    talk.chat()
    talk.until()
    talk.follow()
    assert talk.run()["state"] == "completed"
    given = [event for event in talk.events if by_policy(event)]
    assert [event["args"]["name"].removeprefix(world.thing) for event in given] in (["-a", "-b"], [])
    assert {talk.approval(event["call_id"])["decided_by"] for event in given} <= {"policy:free"}
    assert talk.open_calls == []
    assert len([event for event in talk.replay() if by_policy(event)]) == 2
    order = [effect["name"].removeprefix(world.thing) for effect in world.effects()]
    assert order in (["-a", "-b"], ["-a"], [])
    return talk
