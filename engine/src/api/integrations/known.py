"""The kinds of integrations that there are."""

from collections.abc import Mapping
from types import MappingProxyType

from src.api.errors import Unprocessable
from src.api.integrations.jenkins import Jenkins
from src.api.integrations.provider import Provider

__all__ = ["provider_of"]

_PROVIDERS: Mapping[str, Provider] = MappingProxyType({each.name: each for each in (Jenkins(),)})


def provider_of(name: str) -> Provider:
    """Raises `Unprocessable`, naming those that are known."""
    found = _PROVIDERS.get(name)
    if found is None:
        raise Unprocessable(f"There is no such provider. Known are: {', '.join(sorted(_PROVIDERS))}.")
    return found
