"""What the engine is connected to. For admins; credentials go in and never come out."""

from collections.abc import Awaitable, Callable, Sequence

import orjson

from src.api.errors import Conflict, CredentialsUnreadable, EngineError, Forbidden, NotFound, Unprocessable
from src.api.integrations.known import provider_of
from src.api.integrations.provider import Provider, check_metadata
from src.api.ports import Ids, Reader, Secrets, Store, Transaction
from src.api.schemas.audit import ENGINE
from src.api.schemas.base import JsonObject
from src.api.schemas.integrations import (
    IntegrationChange,
    IntegrationList,
    IntegrationRemoved,
    IntegrationView,
    IntegrationWanted,
)
from src.api.schemas.query import Plus, Scalar, Where
from src.api.schemas.records import CredentialNote, Integration, User
from src.api.schemas.runs import Page
from src.api.services.access import Caller, Role, require_admin
from src.api.services.accounts import LOCAL_ADMIN
from src.api.services.keeping import Keeping
from src.api.services.paging import Cursor, newest
from src.api.utils.canonical import canonical
from src.api.utils.redaction import Redactor

__all__ = ["Integrations"]

_TO_DO = "manage integrations"
_STREAM = "integrations"
_TAKEN = "There is an integration with this name already. Choose another, or change that one."
_UNKNOWN = "There is no such integration."


class Integrations:
    """Each call raises `Forbidden` unless the caller is an admin, for changes at the moment when they are made."""

    def __init__(
        self,
        store: Store,
        ids: Ids,
        keeping: Keeping,
        secrets: Callable[[], Awaitable[Secrets]],
        redactor: Redactor,
    ) -> None:
        self._store = store
        self._ids = ids
        self._keeping = keeping
        self._secrets = secrets
        self._redactor = redactor

    async def list(self, caller: Caller, cursor: str | None, limit: int) -> IntegrationList:
        """All of them; the newest comes first."""
        require_admin(caller, _TO_DO)
        after = Cursor.parse(cursor)

        async def body(reader: Reader) -> tuple[Sequence[Integration], Sequence[CredentialNote]]:
            found = await newest(reader, Integration, after, limit + 1)
            return found, await _notes(reader, found)

        found, notes = await self._store.read(body)
        shown, more = found[:limit], len(found) > limit
        following = str(Cursor(shown[-1].created_at, shown[-1].id)) if more else None
        page = Page(limit=limit, next_cursor=following, has_more=more)
        return IntegrationList(data=[_view(row, notes) for row in shown], pagination=page)

    async def add(self, caller: Caller, wanted: IntegrationWanted) -> IntegrationView:
        """Raises `Conflict` for a name that is taken, `Unprocessable`, and `SecretsUnavailable`: nothing was added."""
        require_admin(caller, _TO_DO)
        provider = provider_of(wanted.provider)
        metadata = self._metadata(provider, wanted.metadata)
        values = provider.credentials(wanted.credentials.get_secret_value())
        integration_id = self._ids.new()

        async def guard(tx: Transaction) -> None:
            await _require_admin_still(tx, caller)
            if await tx.find(Integration, {"name": wanted.name}, limit=1):
                raise Conflict(_TAKEN)

        note = await self._keeping.put(integration_id, values, guard)

        async def body(tx: Transaction) -> Integration:
            await _require_admin_still(tx, caller)
            now = await tx.now()
            row = _row(integration_id, wanted, metadata, note, caller, now)
            if not await tx.insert(row):
                raise Conflict(_TAKEN)
            await self._keeping.keep(tx, note)
            tx.audit(_STREAM, "integration.added", caller.actor, _told(row))
            return row

        try:
            return _view(await self._store.transaction(body), [note])
        except EngineError:
            await self._keeping.drop(note)
            raise

    async def change(self, caller: Caller, integration_id: str, wanted: IntegrationChange) -> IntegrationView:
        """Raises `NotFound`, and what `add` does: then nothing was changed.

        Where credentials are sent changes only together with them: whoever could redirect them alone could read them.
        """
        require_admin(caller, _TO_DO)
        before = await self._known(integration_id)
        provider = provider_of(before.provider)
        metadata = self._metadata(provider, wanted.metadata) if wanted.metadata is not None else None
        if wanted.credentials is None:
            if wanted.status == "active":
                await self._require_readable(before)
            return await self._changed(caller, before, wanted, metadata)
        values = provider.credentials(wanted.credentials.get_secret_value())

        async def guard(tx: Transaction) -> None:
            await _require_admin_still(tx, caller)
            if await tx.get(Integration, id=integration_id) is None:
                raise NotFound(_UNKNOWN)

        note = await self._keeping.put(integration_id, values, guard)
        try:
            return await self._changed(caller, before, wanted, metadata, note)
        except EngineError:
            await self._keeping.drop(note)
            raise

    async def remove(self, caller: Caller, integration_id: str) -> IntegrationRemoved:
        """Gone at once; its credentials as soon as the place where they are kept answers."""
        require_admin(caller, _TO_DO)

        async def body(tx: Transaction) -> list[str]:
            await _require_admin_still(tx, caller)
            row = await tx.change(Integration, {"id": integration_id}, updated_at=Plus(0))
            if row is None:
                raise NotFound(_UNKNOWN)
            await tx.remove(Integration, {"id": integration_id})
            tx.audit(_STREAM, "integration.removed", caller.actor, _told(row))
            return await self._keeping.leave(tx, integration_id)

        left = await self._store.transaction(body)
        cleared = [await self._keeping.clear(ref) for ref in left]
        return IntegrationRemoved(id=integration_id, credentials="removed" if all(cleared) else "leaving")

    async def _changed(
        self,
        caller: Caller,
        known: Integration,
        wanted: IntegrationChange,
        metadata: JsonObject | None,
        note: CredentialNote | None = None,
    ) -> IntegrationView:
        async def body(tx: Transaction) -> tuple[IntegrationView, list[str]]:
            await _require_admin_still(tx, caller)
            now = await tx.now()
            before = await tx.change(Integration, {"id": known.id}, updated_at=now)
            if before is None:
                raise NotFound(_UNKNOWN)
            if metadata is not None and note is None:
                _require_same_destination(before, metadata)
            left = await self._keeping.keep(tx, note) if note is not None else []
            values = _values(before, wanted, metadata, note)
            row = await tx.change(Integration, {"id": known.id}, **values) if values else None
            if row is not None:
                tx.audit(_STREAM, "integration.changed", caller.actor, {**_told(row), "changed": [*sorted(values)]})
            return _view(row or before, await _notes(tx, [row or before])), left

        view, left = await self._store.transaction(body)
        for ref in left:
            await self._keeping.clear(ref)
        return view

    async def _known(self, integration_id: str) -> Integration:
        async def body(reader: Reader) -> Integration | None:
            return await reader.get(Integration, id=integration_id)

        found = await self._store.read(body)
        if found is None:
            raise NotFound(_UNKNOWN)
        return found

    async def _require_readable(self, row: Integration) -> None:
        """What is switched on has to work. Raises `CredentialsUnreadable`, and then says so in its status."""
        try:
            await (await self._secrets()).read(row.credentials_ref or "")
        except CredentialsUnreadable:
            await self._unreadable(row)
            raise

    async def _unreadable(self, row: Integration) -> None:
        async def body(tx: Transaction) -> None:
            same: Where = {"id": row.id, "credentials_ref": row.credentials_ref}
            spoilt = await tx.change(Integration, same, status="error", updated_at=await tx.now())
            if spoilt is not None:
                tx.audit(_STREAM, "integration.unreadable", ENGINE, _told(spoilt))

        await self._store.transaction(body)

    def _metadata(self, provider: Provider, given: JsonObject) -> JsonObject:
        check_metadata(given, self._redactor)
        return provider.metadata(given)


async def _require_admin_still(tx: Transaction, caller: Caller) -> None:
    """Another admin may have taken the caller's role away meanwhile; from here on, who tries to waits."""
    admin: Where = {"id": caller.id, "role": Role.ADMIN.value, "is_active": True}
    if caller.id != LOCAL_ADMIN.id and await tx.change(User, admin, created_at=Plus(0)) is None:
        raise Forbidden("Only admins manage integrations, and you are none any more.")


def _require_same_destination(before: Integration, metadata: JsonObject) -> None:
    provider = provider_of(before.provider)
    if provider.destination(orjson.loads(before.metadata)) != provider.destination(metadata):
        raise Unprocessable("Another address needs the credentials too: those that are kept are not sent elsewhere.")


def _told(row: Integration) -> JsonObject:
    """What the audit trail says of an integration: where its credentials are and are sent, not what they are."""
    metadata: JsonObject = orjson.loads(row.metadata)
    return {
        "integration_id": row.id,
        "provider": row.provider,
        "name": row.name,
        "destination": provider_of(row.provider).destination(metadata),
        "credentials_ref": row.credentials_ref,
        "status": row.status,
    }


def _values(
    before: Integration, wanted: IntegrationChange, metadata: JsonObject | None, note: CredentialNote | None
) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {}
    if wanted.name is not None:
        values["name"] = wanted.name
    if metadata is not None:
        values["metadata"] = canonical(metadata)
    if note is not None:
        values["credentials_ref"] = note.ref
    if wanted.status is not None:
        values["status"] = wanted.status
    elif note is not None and before.status == "error":
        values["status"] = "active"
    return values


def _row(
    integration_id: str, wanted: IntegrationWanted, metadata: JsonObject, note: CredentialNote, caller: Caller, now: int
) -> Integration:
    return Integration(
        id=integration_id,
        provider=wanted.provider,
        name=wanted.name,
        metadata=canonical(metadata),
        status="active",
        credentials_ref=note.ref,
        created_by=caller.id,
        created_at=now,
        updated_at=now,
    )


async def _notes(reader: Reader, rows: Sequence[Integration]) -> Sequence[CredentialNote]:
    refs = tuple(row.credentials_ref for row in rows if row.credentials_ref is not None)
    return await reader.find(CredentialNote, {"ref": refs}) if refs else []


def _view(row: Integration, notes: Sequence[CredentialNote]) -> IntegrationView:
    names = next((note.names for note in notes if note.ref == row.credentials_ref), "[]")
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
