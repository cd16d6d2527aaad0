"""Describe the engine to its page, for anyone and for signed-in users."""

from dataclasses import dataclass

from src.api.ports import Reader, Store
from src.api.schemas.application import AppView, SignedInAppView
from src.api.schemas.records import User
from src.api.services.access import Caller

__all__ = ["Application"]


@dataclass(frozen=True, slots=True)
class Application:
    """`description` is what the settings say; whether a user exists is read each time until there is one."""

    store: Store
    description: SignedInAppView

    async def view(self, caller: Caller | None) -> AppView:
        """Return the description, without what only signed-in users may know unless there is a caller."""

        async def body(reader: Reader) -> bool:
            return not await reader.find(User, {}, limit=1)

        found = self.description.model_copy(update={"setup": await self.store.read(body)})
        if caller is not None:
            return found
        return AppView(**{name: getattr(found, name) for name in AppView.model_fields})
