"""Recognize browsers in which an account signed in before, so that others can't block its owner by wrong passwords."""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["KnownDevices"]


@dataclass(frozen=True, slots=True)
class KnownDevices:
    """Issue and verify cookies that name a device of one account. They give no access."""

    secret: str = field(repr=False)
    random: Callable[[], str] = lambda: secrets.token_urlsafe(16)

    def issue(self, account: str) -> str:
        """Return the cookie for a device on which this account, by its e-mail, has just signed in."""
        device = self.random()
        return f"{device}.{self._signature(device, account)}"

    def recognize(self, cookie: str | None, account: str) -> str | None:
        """Return the device's id if the cookie was issued for this account."""
        device, _, signature = (cookie or "").partition(".")
        is_ours = hmac.compare_digest(signature.encode(), self._signature(device, account).encode())
        return device if device and is_ours else None

    def _signature(self, device: str, account: str) -> str:
        content = f"known device\n{device}\n{account.strip().lower()}"
        return hmac.new(self.secret.encode(), content.encode(), hashlib.sha256).hexdigest()
