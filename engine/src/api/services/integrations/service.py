"""Manage integrations, for admins. Credentials can be written but never read."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import orjson

from skyflo_common.redaction import Redactor
from src.api.errors import Conflict, CredentialsUnreadable, EngineError, Forbidden, NotFound, Unprocessable
from src.api.integrations.provider import Provider, check_metadata
from src.api.integrations.registry import get_provider
from src.api.ports import Ids, Reader, Secrets, Store, Transaction
from src.api.schemas.audit import ENGINE
from src.api.schemas.base import JsonObject
from src.api.schemas.integrations import (
    IntegrationChange,
    IntegrationCreate,
    IntegrationRemoved,
    IntegrationView,
)
from src.api.schemas.query import Increment, Scalar, Where
from src.api.schemas.records import CredentialRecord, Integration, User
from src.api.services.access import Caller, Role, require_admin
from src.api.services.accounts.accounts import LOCAL_ADMIN
from src.api.services.integrations.credentials import CredentialStore
from src.api.services.pagination import Cursor, ResultPage, find_newest, next_cursor
from src.api.utils.canonical import canonical

__all__ = ["Integrations"]

_ACTION = "manage integrations"
_STREAM = "integrations"
_NAME_TAKEN = "There is an integration with this name already. Choose another, or change that one."
_NOT_FOUND = "There is no such integration."
MAX_NUMBERED = 50
"""Integrations of one provider that get their name from it."""


@dataclass(slots=True)
class Integrations:
    """Manage integrations. Each method raises `Forbidden` unless the caller is an admin, checked again in each
    transaction.
    """

    store: Store
    ids: Ids
    credentials: CredentialStore
    secrets: Callable[[], Awaitable[Secrets]]
    redactor: Redactor

    async def list(self, caller: Caller, cursor: str | None, limit: int) -> ResultPage[IntegrationView]:
        """List integrations, newest first."""
        require_admin(caller, _ACTION)
        after = Cursor.parse(cursor)

        async def body(reader: Reader) -> tuple[Sequence[Integration], Sequence[CredentialRecord]]:
            found = await find_newest(reader, Integration, after, limit + 1)
            return found, await _credential_records(reader, found)

        found, records = await self.store.read(body)
        return ResultPage([_view(row, records) for row in found[:limit]], next_cursor(found, limit))

    async def add(self, caller: Caller, wanted: IntegrationCreate) -> IntegrationView:
        """Add an integration. Without a name it gets the provider's title, numbered if that is taken.

        Raises `Conflict` for a taken name, `Unprocessable`, and `SecretsUnavailable`. After an error nothing was added.
        """
        require_admin(caller, _ACTION)
        provider = get_provider(wanted.provider)
        metadata = self._checked_metadata(provider, wanted.metadata)
        values = provider.credentials(wanted.credentials.get_secret_value())
        integration_id = self.ids.new()

        async def guard(tx: Transaction) -> None:
            await _require_admin_still(tx, caller)
            await _choose_name(tx, wanted, provider)

        record = await self.credentials.put(integration_id, values, guard)

        async def body(tx: Transaction) -> Integration:
            await _require_admin_still(tx, caller)
            now = await tx.now()
            name = await _choose_name(tx, wanted, provider)
            row = _new_row(integration_id, wanted, name, metadata, record, caller, now)
            if not await tx.insert(row):
                raise Conflict(_NAME_TAKEN)
            await self.credentials.keep(tx, record)
            tx.audit(_STREAM, "integration.added", caller.actor, _audit_body(row))
            return row

        try:
            return _view(await self.store.transaction(body), [record])
        except EngineError:
            await self.credentials.discard(record)
            raise

    async def change(self, caller: Caller, integration_id: str, wanted: IntegrationChange) -> IntegrationView:
        """Change an integration. Raises `NotFound` and the errors of `add`; after an error nothing was changed.

        A new destination requires new credentials. Otherwise an admin could redirect stored ones and read them.
        """
        require_admin(caller, _ACTION)
        before = await self._get(integration_id)
        provider = get_provider(before.provider)
        metadata = self._checked_metadata(provider, wanted.metadata) if wanted.metadata is not None else None
        if wanted.credentials is None:
            if wanted.status == "active":
                await self._require_readable(before)
            return await self._update(caller, before, wanted, metadata)
        values = provider.credentials(wanted.credentials.get_secret_value())

        async def guard(tx: Transaction) -> None:
            await _require_admin_still(tx, caller)
            if await tx.get(Integration, id=integration_id) is None:
                raise NotFound(_NOT_FOUND)

        record = await self.credentials.put(integration_id, values, guard)
        try:
            return await self._update(caller, before, wanted, metadata, record)
        except EngineError:
            await self.credentials.discard(record)
            raise

    async def remove(self, caller: Caller, integration_id: str) -> IntegrationRemoved:
        """Remove an integration. Its credentials are deleted as soon as the credential store answers."""
        require_admin(caller, _ACTION)

        async def body(tx: Transaction) -> list[str]:
            await _require_admin_still(tx, caller)
            row = await tx.change(Integration, {"id": integration_id}, updated_at=Increment(0))
            if row is None:
                raise NotFound(_NOT_FOUND)
            await tx.remove(Integration, {"id": integration_id})
            tx.audit(_STREAM, "integration.removed", caller.actor, _audit_body(row))
            return await self.credentials.release(tx, integration_id)

        released = await self.store.transaction(body)
        deleted = [await self.credentials.delete(ref) for ref in released]
        return IntegrationRemoved(id=integration_id, credentials="removed" if all(deleted) else "leaving")

    async def _update(
        self,
        caller: Caller,
        known: Integration,
        wanted: IntegrationChange,
        metadata: JsonObject | None,
        record: CredentialRecord | None = None,
    ) -> IntegrationView:
        async def body(tx: Transaction) -> tuple[IntegrationView, list[str]]:
            await _require_admin_still(tx, caller)
            now = await tx.now()
            before = await tx.change(Integration, {"id": known.id}, updated_at=now)
            if before is None:
                raise NotFound(_NOT_FOUND)
            if metadata is not None and record is None:
                _require_same_destination(before, metadata)
            released = await self.credentials.keep(tx, record) if record is not None else []
            values = _changed_columns(before, wanted, metadata, record)
            row = await tx.change(Integration, {"id": known.id}, **values) if values else None
            if row is not None:
                tx.audit(
                    _STREAM, "integration.changed", caller.actor, {**_audit_body(row), "changed": [*sorted(values)]}
                )
            return _view(row or before, await _credential_records(tx, [row or before])), released

        view, released = await self.store.transaction(body)
        for ref in released:
            await self.credentials.delete(ref)
        return view

    async def _get(self, integration_id: str) -> Integration:
        async def body(reader: Reader) -> Integration | None:
            return await reader.get(Integration, id=integration_id)

        found = await self.store.read(body)
        if found is None:
            raise NotFound(_NOT_FOUND)
        return found

    async def _require_readable(self, row: Integration) -> None:
        """Require readable credentials before an integration is enabled.

        Raises `CredentialsUnreadable` after setting the integration's status to `error`.
        """
        try:
            await (await self.secrets()).read(row.credentials_ref or "")
        except CredentialsUnreadable:
            await self._mark_unreadable(row)
            raise

    async def _mark_unreadable(self, row: Integration) -> None:
        async def body(tx: Transaction) -> None:
            same: Where = {"id": row.id, "credentials_ref": row.credentials_ref}
            marked = await tx.change(Integration, same, status="error", updated_at=await tx.now())
            if marked is not None:
                tx.audit(_STREAM, "integration.unreadable", ENGINE, _audit_body(marked))

        await self.store.transaction(body)

    def _checked_metadata(self, provider: Provider, given: JsonObject) -> JsonObject:
        check_metadata(given, self.redactor)
        return provider.metadata(given)


async def _require_admin_still(tx: Transaction, caller: Caller) -> None:
    """Lock the caller's row and require that they are still an admin. Concurrent role changes wait."""
    admin: Where = {"id": caller.id, "role": Role.ADMIN.value, "is_active": True}
    if caller.id != LOCAL_ADMIN.id and await tx.change(User, admin, created_at=Increment(0)) is None:
        raise Forbidden("You are no longer an admin, so you can't manage integrations.")


async def _choose_name(reader: Reader, wanted: IntegrationCreate, provider: Provider) -> str:
    """Return the requested name, or the provider's title with the first free number. Raises `Conflict`."""
    numbered = (f"{provider.title} {n}" for n in range(2, MAX_NUMBERED + 1))
    for name in [wanted.name] if wanted.name is not None else [provider.title, *numbered]:
        if not await reader.find(Integration, {"name": name}, limit=1):
            return name
    raise Conflict(_NAME_TAKEN)


def _require_same_destination(before: Integration, metadata: JsonObject) -> None:
    provider = get_provider(before.provider)
    if provider.destination(orjson.loads(before.metadata)) != provider.destination(metadata):
        raise Unprocessable("A new address requires the credentials again: stored ones are never sent elsewhere.")


def _audit_body(row: Integration) -> JsonObject:
    """Return the audit body: where credentials are stored and sent, without their values."""
    metadata: JsonObject = orjson.loads(row.metadata)
    return {
        "integration_id": row.id,
        "provider": row.provider,
        "name": row.name,
        "destination": get_provider(row.provider).destination(metadata),
        "credentials_ref": row.credentials_ref,
        "status": row.status,
    }


def _changed_columns(
    before: Integration, wanted: IntegrationChange, metadata: JsonObject | None, record: CredentialRecord | None
) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {}
    if wanted.name is not None:
        values["name"] = wanted.name
    if metadata is not None:
        values["metadata"] = canonical(metadata)
    if record is not None:
        values["credentials_ref"] = record.ref
    if wanted.status is not None:
        values["status"] = wanted.status
    elif record is not None and before.status == "error":
        values["status"] = "active"
    return values


def _new_row(
    integration_id: str,
    wanted: IntegrationCreate,
    name: str,
    metadata: JsonObject,
    record: CredentialRecord,
    caller: Caller,
    now: int,
) -> Integration:
    return Integration(
        id=integration_id,
        provider=wanted.provider,
        name=name,
        metadata=canonical(metadata),
        status="active",
        credentials_ref=record.ref,
        created_by=caller.id,
        created_at=now,
        updated_at=now,
    )


async def _credential_records(reader: Reader, rows: Sequence[Integration]) -> Sequence[CredentialRecord]:
    refs = tuple(row.credentials_ref for row in rows if row.credentials_ref is not None)
    return await reader.find(CredentialRecord, {"ref": refs}) if refs else []


def _view(row: Integration, records: Sequence[CredentialRecord]) -> IntegrationView:
    names = next((record.names for record in records if record.ref == row.credentials_ref), "[]")
    return IntegrationView.model_validate(
        {
            "id": row.id,
            "provider": row.provider,
            "name": row.name,
            "metadata": orjson.loads(row.metadata),
            "status": row.status,
            "credentials_ref": row.credentials_ref,
            "credentials_set": orjson.loads(names),
            "created_by": row.created_by,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
    )
