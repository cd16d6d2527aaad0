"""Compare what the command reads by hand with the engine's schemas."""

from typing import get_args

from src.api.schemas import events, runs, states
from src.cli import event_follower, event_lines, panels
from src.cli.approval_view import ApprovalView
from src.cli.commands import approvals, top_level
from src.cli.presenter import Presenter
from src.cli.run_view import RunView
from tests.support.terminal_picture import NullScreen

KINDS = {get_args(one.model_fields["type"].annotation)[0] for one in get_args(get_args(events.Event)[0])}
UNSHOWN = {
    "ready",
    "heartbeat",
    "error",
    "ttft",
    "tools.pending",
    "token.usage",
    "completed",
    "conversation.title.generated",
}
"""Events that print no line."""
ASKED = {"tool.awaiting_approval"}


def test_every_event_type_is_shown_or_listed_as_unshown() -> None:
    presenter = Presenter(NullScreen(), RunView())
    assert presenter.handled_types | UNSHOWN | ASKED == KINDS
    assert presenter.handled_types & (UNSHOWN | ASKED) == set()


def test_approval_view_reads_fields_of_the_schemas() -> None:
    asked = set(events.ToolAwaitingApproval.model_fields)
    assert {"call_id", "title", "tool", "args", "digest", "preview", "risk", "expires_at", "supersedes"} <= asked
    assert {name for name in vars(ApprovalView) if name in asked} >= {
        "call_id",
        "digest",
        "preview",
        "risk",
        "expires_at",
    }
    assert {"status", "outcome", "decided_by", "decided_at", "history", "evidence", "error"} <= set(
        runs.ApprovalView.model_fields
    )


def test_states_match_the_engines() -> None:
    assert set(event_follower.RESTING) == set(states.RESTING)
    assert set(get_args(top_level.RunState)) == {*states.ACTIVE, *states.ENDED, "waiting"}
    assert set(panels.STATUS_TEXTS) | {"pending"} == set(get_args(approvals.Status))
    assert set(event_lines.DECISIONS) == {kind for kind in KINDS if kind in event_lines.DECISIONS}
