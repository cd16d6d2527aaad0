"""Build the rows that a finished run leaves in a conversation, for tests that only read them."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

from src.api.schemas.records import Approval, Call, Message, Run
from tests.support.rows import row

__all__ = ["make_approval", "make_call", "make_message", "make_run"]


def make_run(conversation_id: str, user_id: str, *, state: str = "completed", **values: Any) -> Run:
    own = {"id": str(uuid4()), "conversation_id": conversation_id, "user_id": user_id, "state": state}
    return row(Run, **{**own, "trigger": "chat", "usage": "{}", "created_at": 1, "updated_at": 1, **values})


def make_message(run: Run, turn: int, role: str, content: str, *, at: int = 1, **values: Any) -> Message:
    own = {"id": str(uuid4()), "conversation_id": run.conversation_id, "run_id": run.id, "turn": turn, "role": role}
    return row(Message, **{**own, "content": content, "usage": "{}", "created_at": at, **values})


def make_call(run: Run, turn: int, position: int, *, at: int = 1, kind: str = "change", **values: Any) -> Call:
    own = {"id": str(uuid4()), "conversation_id": run.conversation_id, "run_id": run.id, "turn": turn}
    what = {"tool": "k8s_scale", "title": "Scale", "redacted_args": '{"name":"web"}', "result": "[]"}
    return replace(row(Call, **{**own, "position": position, **what, "created_at": at, **values}), kind=kind)


def make_approval(run: Run, **values: Any) -> Approval:
    own = {"id": str(uuid4()), "conversation_id": run.conversation_id, "run_id": run.id, "requester_id": run.user_id}
    return row(Approval, **{**own, "status": "pending", "objects": "[]", **values})
