"""Storage for the credentials of integrations."""

from collections.abc import Mapping
from typing import Protocol

__all__ = ["Secrets"]


class Secrets(Protocol):
    """Store credentials, written once under a name and never changed. No error text contains a value."""

    def ref(self, name: str) -> str:
        """Return the ref under which `put` stores this name: `place/name`, unique among all credential stores."""

    async def put(self, name: str, owner: str, values: Mapping[str, str]) -> None:
        """Store the values for `owner`. It is idempotent, so a put with an unknown outcome can be repeated.

        Raises:
            Conflict: the name holds something else, which stays as it is.
            SecretsRefused: nothing was stored, for a reason that an operator must fix.
            SecretsUnavailable: it is unknown whether the values were stored.
        """

    async def read(self, ref: str) -> Mapping[str, str]:
        """Return the values. Raises `CredentialsUnreadable` if they are lost or changed, or `SecretsUnavailable`."""

    async def remove(self, ref: str) -> None:
        """Remove what `put` stored; an object that others put in its place stays.

        Raises `SecretsUnavailable`: try again later.
        """

    async def check(self) -> None:
        """Raise `SecretsUnavailable`, with what to do about it, while nothing can be stored."""
