"""Integrations and their credentials."""

from dataclasses import dataclass

from src.api.schemas.records.base import Record

__all__ = ["CredentialRecord", "Integration", "SealedCredentials"]


@dataclass(frozen=True, slots=True)
class Integration(Record):
    table = "integrations"
    id: str
    provider: str
    name: str
    metadata: str
    status: str
    credentials_ref: str | None
    created_by: str
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class CredentialRecord(Record):
    """Where credentials are stored; written before they are.

    `state` is writing, kept or leaving. `due_at` is when the sweep removes them, None while they are kept. `names` is a
    JSON list of what is set.
    """

    table = "credential_notes"
    key = ("ref",)
    ref: str
    integration_id: str
    names: str
    state: str
    due_at: int | None


@dataclass(frozen=True, slots=True)
class SealedCredentials(Record):
    """Credentials of the local store, encrypted with the key of this id."""

    table = "credentials"
    key = ("ref",)
    ref: str
    owner: str
    key_id: str
    sealed: str
