"""The command reads the wire by hand; here it is held to the engine's own schemas."""

from typing import get_args

from src.api.schemas import events, runs, states
from src.cli import commands, following, inbox, lines, panels
from src.cli.cards import Card
from src.cli.presenter import Presenter
from src.cli.talk import Talk
from tests.support.terminal_picture import Board

KINDS = {get_args(one.model_fields["type"].annotation)[0] for one in get_args(get_args(events.Event)[0])}
UNSHOWN = {"ready", "heartbeat", "ttft", "tools.pending", "token.usage", "completed", "conversation.title.generated"}
"""Those that count or name something, and are seen elsewhere or not at all."""
ASKED = {"tool.awaiting_approval"}


def test_every_event_of_the_engine_is_shown_or_known_not_to_be() -> None:
    presenter = Presenter(Board(), Talk())
    assert presenter.kinds | UNSHOWN | ASKED == KINDS
    assert presenter.kinds & (UNSHOWN | ASKED) == set()


def test_what_a_card_reads_is_what_events_and_the_inbox_hold() -> None:
    asked = set(events.ToolAwaitingApproval.model_fields)
    assert {"call_id", "title", "tool", "args", "digest", "preview", "risk", "expires_at", "supersedes"} <= asked
    assert {name for name in vars(Card) if name in asked} >= {"call_id", "digest", "preview", "risk", "expires_at"}
    assert {"status", "outcome", "decided_by", "decided_at", "history", "evidence", "error"} <= set(
        runs.ApprovalView.model_fields
    )


def test_the_words_for_states_are_the_engines() -> None:
    assert set(following.RESTING) == set(states.RESTING)
    assert set(get_args(commands.RunState)) == {*states.ACTIVE, *states.ENDED, "waiting"}
    assert set(panels.STATES) | {"pending"} == set(get_args(inbox.Status))
    assert set(lines.DECISIONS) == {kind for kind in KINDS if kind in lines.DECISIONS}
