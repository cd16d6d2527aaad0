"""Tables of conversations, runs, messages and journal events."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.migrations.constraints import UniqueConstraint
from tortoise.models import Model

from src.api.models.base import identity, identity_ref, json_text, milliseconds, text, word


class Conversation(Model):
    id = identity()
    owner_id = identity_ref()
    title = fields.CharField(max_length=200, null=True)
    is_active = fields.BooleanField()
    metadata = json_text("{}")
    touches = fields.BigIntField()
    created_at = milliseconds()
    updated_at = milliseconds()
    deleted_at = milliseconds(null=True)
    erase_due = milliseconds(null=True)
    title_by = fields.CharField(max_length=16, null=True)

    class Meta:
        table = "conversations"
        indexes = (
            Index(fields=("owner_id", "updated_at", "id"), name="conversations_by_owner"),
            Index(fields=("erase_due",), name="conversations_to_erase"),
            Index(fields=("updated_at", "id"), name="conversations_by_activity"),
        )


class Run(Model):
    id = identity()
    conversation_id = identity_ref(index=True)
    user_id = identity_ref(index=True)
    state = word()
    fence = fields.BigIntField()
    owner = fields.CharField(max_length=64, null=True)
    lease_until = milliseconds(null=True)
    restarts = fields.IntField()
    stop_at = milliseconds(null=True)
    journal = fields.BigIntField()
    rest_seq = fields.BigIntField()
    turn = fields.IntField()
    trigger = word()
    usage = json_text("{}")
    error = text(null=True)
    error_code = fields.CharField(max_length=64, null=True)
    created_at = milliseconds()
    started_at = milliseconds(null=True)
    updated_at = milliseconds()
    ended_at = milliseconds(null=True)
    rested_at = milliseconds(null=True)
    waited_ms = fields.BigIntField(db_default=0)
    has_deferred = fields.BooleanField(db_default=False)

    class Meta:
        table = "runs"
        indexes = (
            Index(fields=("user_id", "created_at", "id"), name="runs_by_user"),
            Index(fields=("state", "updated_at"), name="runs_by_state"),
            Index(fields=("ended_at", "state", "created_at"), name="runs_by_end"),
        )
        constraints = (
            UniqueConstraint(
                fields=("conversation_id",),
                name="one_active_run",
                condition="state IN ('queued', 'running', 'awaiting_approval')",
            ),
        )


class Message(Model):
    id = identity()
    conversation_id = identity_ref()
    run_id = identity_ref()
    turn = fields.IntField()
    role = word()
    content = text()
    thinking = text()
    thinking_ms = fields.BigIntField()
    finish_reason = fields.CharField(max_length=32, null=True)
    usage = json_text("{}")
    replaces = identity_ref(null=True)
    hidden = fields.BooleanField()
    created_at = milliseconds()
    provider_state = text(null=True)

    class Meta:
        table = "messages"
        unique_together = (("run_id", "turn"),)
        indexes = (Index(fields=("conversation_id", "created_at", "id"), name="messages_by_time"),)


class ConversationSummary(Model):
    id = identity()
    conversation_id = identity_ref()
    run_id = identity_ref(index=True)
    version = fields.IntField()
    until_run_id = identity_ref()
    until_turn = fields.IntField()
    kept = json_text("[]")
    messages = fields.IntField()
    content = text()
    model = fields.CharField(max_length=200)
    created_at = milliseconds()

    class Meta:
        table = "conversation_summaries"
        unique_together = (("conversation_id", "version"),)


class ModelCall(Model):
    id = identity()
    run_id = identity_ref()
    model = fields.CharField(max_length=200)
    prompt_tokens = fields.BigIntField()
    completion_tokens = fields.BigIntField()
    cached_tokens = fields.BigIntField()
    cost_nano = fields.BigIntField(null=True)
    ttft_ms = fields.BigIntField(null=True)
    created_at = milliseconds()
    user_id = identity_ref(null=True)

    class Meta:
        table = "model_calls"
        indexes = (
            Index(fields=("created_at",), name="model_calls_by_time"),
            Index(fields=("run_id",), name="model_calls_by_run"),
            Index(fields=("user_id", "created_at"), name="model_calls_by_user"),
        )


class BudgetWarning(Model):
    id = fields.CharField(max_length=200, primary_key=True)
    created_at = milliseconds()

    class Meta:
        table = "budget_warnings"
        indexes = (Index(fields=("created_at",), name="budget_warnings_by_age"),)


class SearchText(Model):
    id = identity()
    conversation_id = identity_ref(index=True)
    run_id = identity_ref(null=True, index=True)
    text_casefolded = text()

    class Meta:
        table = "search"


class JournalEvent(Model):
    row = fields.BigIntField(primary_key=True)
    run_id = identity_ref()
    n = fields.BigIntField()
    type = word()
    body = text()
    text_from = fields.BigIntField(null=True)
    created_at = milliseconds()

    class Meta:
        table = "events"
        unique_together = (("run_id", "n"),)


class DeferredEvent(Model):
    id = identity()
    run_id = identity_ref(index=True)
    body = text()
    created_at = milliseconds()

    class Meta:
        table = "deferred_events"


class Submission(Model):
    row = fields.BigIntField(primary_key=True)
    user_id = identity_ref()
    idempotency_key = fields.CharField(max_length=255)
    body_sha256 = fields.CharField(max_length=64)
    run_id = identity_ref()
    conversation_id = identity_ref()
    created_at = milliseconds()

    class Meta:
        table = "submissions"
        unique_together = (("user_id", "idempotency_key"),)
        indexes = (Index(fields=("created_at",), name="submissions_by_age"),)
