"""The known integration providers."""

from collections.abc import Mapping
from types import MappingProxyType

from src.api.errors import Unprocessable
from src.api.integrations.jenkins import Jenkins
from src.api.integrations.provider import Provider

__all__ = ["get_provider"]

_PROVIDERS: Mapping[str, Provider] = MappingProxyType({each.name: each for each in (Jenkins(),)})


def get_provider(name: str) -> Provider:
    """Return a provider. Raises `Unprocessable`, naming the known ones."""
    found = _PROVIDERS.get(name)
    if found is None:
        raise Unprocessable(f"There is no such provider. Known providers: {', '.join(sorted(_PROVIDERS))}.")
    return found
