"""Tables of tool calls, approvals, decisions, and the single execution of each approved change."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from src.api.models.base import identity, identity_ref, json_text, milliseconds, text, word


class Call(Model):
    id = identity()
    run_id = identity_ref()
    conversation_id = identity_ref(index=True)
    turn = fields.IntField()
    position = fields.IntField()
    version = fields.IntField()
    provider_id = text()
    server = fields.CharField(max_length=100)
    tool = fields.CharField(max_length=200)
    title = fields.CharField(max_length=200)
    kind = word()
    args = text()
    redacted_args = text()
    schema_hash = fields.CharField(max_length=64)
    status = word()
    result = json_text("[]")
    error = text(null=True)
    supersedes = identity_ref(null=True)
    created_at = milliseconds()
    started_at = milliseconds(null=True)
    ended_at = milliseconds(null=True)
    needs_approval = fields.BooleanField(db_default=True)
    holds_secret = fields.BooleanField(db_default=True)

    class Meta:
        table = "calls"
        unique_together = (("run_id", "turn", "position", "version"),)
        indexes = (Index(fields=("created_at", "status", "tool"), name="calls_by_time"),)


class Approval(Model):
    id = identity()
    run_id = identity_ref(index=True)
    conversation_id = identity_ref(index=True)
    requester_id = identity_ref()
    author_id = identity_ref()
    server = fields.CharField(max_length=100)
    tool = fields.CharField(max_length=200)
    schema_hash = fields.CharField(max_length=64)
    args = text()
    preview = text(null=True)
    preconditions = text(null=True)
    objects = json_text("[]")
    digest = fields.CharField(max_length=64)
    risk = word()
    effect = word()
    rule = fields.CharField(max_length=100)
    votes = fields.IntField()
    status = word()
    approve_by = milliseconds()
    execute_by = milliseconds(null=True)
    decided_by = fields.CharField(max_length=400, null=True)
    decided_at = milliseconds(null=True)
    reason = text(null=True)
    supersedes = identity_ref(null=True)
    created_at = milliseconds()
    decided_by_policy = fields.CharField(max_length=100, null=True)

    class Meta:
        table = "approvals"
        indexes = (
            Index(fields=("status", "approve_by"), name="approvals_by_deadline"),
            Index(fields=("status", "created_at", "id"), name="approvals_inbox"),
            Index(fields=("created_at", "status", "decided_at"), name="approvals_by_time"),
        )


class Decision(Model):
    id = identity()
    approval_id = identity_ref()
    user_id = identity_ref()
    approve = fields.BooleanField()
    reason = text(null=True)
    digest = fields.CharField(max_length=64, null=True)
    despite_unknown = json_text("[]")
    created_at = milliseconds()

    class Meta:
        table = "decisions"
        unique_together = (("approval_id", "user_id"),)


class Execution(Model):
    id = identity()
    run_id = identity_ref(index=True)
    fence = fields.BigIntField()
    nonce = fields.CharField(max_length=64)
    state = word()
    effect = fields.CharField(max_length=16, null=True)
    code = fields.CharField(max_length=64, null=True)
    result = json_text("[]")
    error = text(null=True)
    settled_by = fields.CharField(max_length=400, null=True)
    evidence = text(null=True)
    started_at = milliseconds()
    ended_at = milliseconds(null=True)

    class Meta:
        table = "executions"
        indexes = (Index(fields=("state", "started_at"), name="executions_by_state"),)
