"""Tables of users, sessions, integrations and the audit log."""

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

from src.api.models.base import identity, identity_ref, json_text, milliseconds, text, word


class User(Model):
    id = identity()
    email = fields.CharField(max_length=320, unique=True)
    hashed_password = fields.CharField(max_length=1024)
    full_name = fields.CharField(max_length=200, null=True)
    role = word()
    is_active = fields.BooleanField()
    is_superuser = fields.BooleanField()
    is_verified = fields.BooleanField()
    kubernetes_user = fields.CharField(max_length=320, null=True)
    kubernetes_groups = json_text("[]")
    created_at = milliseconds()
    pending_email = fields.CharField(max_length=320, null=True)

    class Meta:
        table = "users"


class FormerName(Model):
    row = fields.BigIntField(primary_key=True)
    user_id = identity_ref()
    name = fields.CharField(max_length=320)
    created_at = milliseconds()

    class Meta:
        table = "former_names"
        unique_together = (("user_id", "name"),)


class RefreshToken(Model):
    id = identity()
    user_id = identity_ref(index=True)
    family = identity_ref(index=True)
    token_sha256 = fields.CharField(max_length=64, unique=True)
    used_at = milliseconds(null=True)
    revoked_at = milliseconds(null=True)
    ends_at = milliseconds(null=True)  # end of the whole session, whatever is renewed
    expires_at = milliseconds()
    created_at = milliseconds()

    class Meta:
        table = "refresh_tokens"


class Identity(Model):
    id = identity()
    user_id = identity_ref(index=True)
    # The user's identity at an OpenID provider.
    issuer = fields.CharField(max_length=500)
    subject = fields.CharField(max_length=255)
    created_at = milliseconds()

    class Meta:
        table = "identities"
        unique_together = (("issuer", "subject"),)


class ApiToken(Model):
    id = identity()
    user_id = identity_ref(index=True)
    name = fields.CharField(max_length=100)
    scopes = word()
    token_sha256 = fields.CharField(max_length=64, unique=True)
    expires_at = milliseconds()
    created_at = milliseconds()

    class Meta:
        table = "api_tokens"


class Integration(Model):
    id = identity()
    provider = word()
    name = fields.CharField(max_length=200, unique=True)
    metadata = json_text("{}")
    status = word()
    credentials_ref = text(null=True)
    created_by = identity_ref()
    created_at = milliseconds()
    updated_at = milliseconds()

    class Meta:
        table = "integrations"


class CredentialRecord(Model):
    ref = fields.CharField(max_length=400, primary_key=True)
    integration_id = identity_ref(index=True)
    names = json_text("[]")
    state = word()
    due_at = milliseconds(null=True)

    class Meta:
        table = "credential_notes"
        indexes = (Index(fields=("due_at",), name="credential_notes_due"),)


class SealedCredentials(Model):
    ref = fields.CharField(max_length=400, primary_key=True)
    owner = identity_ref()
    key_id = fields.CharField(max_length=32)
    sealed = text()

    class Meta:
        table = "credentials"


class AuditEntry(Model):
    row = fields.BigIntField(primary_key=True)
    stream = fields.CharField(max_length=100)
    n = fields.BigIntField()
    action = word()
    actor = fields.CharField(max_length=320)
    name = fields.CharField(max_length=400)
    body = text()
    previous = fields.CharField(max_length=64)
    hash = fields.CharField(max_length=64)
    created_at = milliseconds()

    class Meta:
        table = "audit"
        unique_together = (("stream", "n"),)
        indexes = (
            Index(fields=("created_at", "stream", "n"), name="audit_by_time"),
            Index(fields=("actor", "created_at"), name="audit_by_actor"),
        )


class AuditHead(Model):
    stream = fields.CharField(max_length=100, primary_key=True)
    n = fields.BigIntField()
    hash = fields.CharField(max_length=64)
    since = fields.BigIntField()
    seal = fields.BigIntField(null=True, db_index=True)

    class Meta:
        table = "audit_heads"


class AuditSeal(Model):
    n = fields.BigIntField(primary_key=True)
    previous = fields.CharField(max_length=64)
    heads = text()
    count = fields.IntField()
    root = fields.CharField(max_length=64)
    key_id = fields.CharField(max_length=64)
    mac = fields.CharField(max_length=64)
    hash = fields.CharField(max_length=64)
    created_at = milliseconds()

    class Meta:
        table = "audit_seals"
