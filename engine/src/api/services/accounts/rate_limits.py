"""Limit requests per user or client address, with stricter limits for sign-in routes."""

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from src.api.errors import TooManyRequests
from src.api.ports import RateLimiter
from src.api.services.access import Caller
from src.api.utils.canonical import sha256

__all__ = ["RateLimits", "remote_address"]

LOGINS_PER_ACCOUNT = 10
"""From one address, or from one device on which the account has signed in before."""
LOGINS_PER_ADDRESS = 30
LOGINS_OF_ACCOUNT = 100
"""From all addresses together. It holds for devices that the account has never used."""
READS_PER_REQUEST = 10
"""Signed-in reads that count as one request."""
REGISTRATIONS_PER_ADDRESS = 10
EMAILS_PER_ADDRESS = 10
EMAILS_PER_ACCOUNT = 3
MAX_HOPS = 20
_LOOPBACK = "127.0.0.1"
_UNTRUSTED_HEADER = "forwarded"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(slots=True)
class RateLimits:
    """Rate limits of the HTTP API.

    `per_minute` applies to one user or address; None disables all limits. A signed-in user may also read
    `READS_PER_REQUEST` times as often, because an open page reads all the time.
    """

    limiter: Callable[[], Awaitable[RateLimiter]]
    per_minute: int | None

    async def request(self, caller: str | None, address: str, *, reads: bool = False) -> None:
        """Count a request; a stream counts once, when it is opened. Raises `TooManyRequests`."""
        if reads and caller is not None and self.per_minute is not None:
            await self._hit("reads", caller, self.per_minute * READS_PER_REQUEST)
        else:
            await self._hit("requests", caller or address, self.per_minute)

    async def login(self, address: str, account: str, device: str | None) -> None:
        """Count a login attempt, successful or not. Raises `TooManyRequests`.

        `device` is one that the account has used before. Its attempts are counted on their own, so that attempts from
        elsewhere, even from the same address, don't keep the account's owner out.
        """
        if device is not None:
            await self._hit("logins-on", device, LOGINS_PER_ACCOUNT)
            return
        await self._hit("logins-from", address, LOGINS_PER_ADDRESS)
        await self._hit("logins-as", f"{_account_key(account)} {address}", LOGINS_PER_ACCOUNT)
        await self._hit("logins-of", _account_key(account), LOGINS_OF_ACCOUNT)

    async def provider(self, address: str) -> None:
        """Count a step of an OpenID Connect sign-in. Raises `TooManyRequests`."""
        await self._hit("logins-from", address, LOGINS_PER_ADDRESS)

    async def registration(self, address: str) -> None:
        """Count an attempt to register. Raises `TooManyRequests`."""
        await self._hit("registrations", address, REGISTRATIONS_PER_ADDRESS)

    async def email(self, address: str, account: str) -> None:
        """Count a request to e-mail an account, whether it exists or not. Raises `TooManyRequests`."""
        await self._hit("letters-from", address, EMAILS_PER_ADDRESS)
        await self._hit("letters-to", _account_key(account), EMAILS_PER_ACCOUNT)

    async def confirmation(self, caller: Caller) -> None:
        """Count an attempt to confirm the password of a signed-in user. Raises `TooManyRequests`.

        Each session counts on its own: one that was stolen does not keep the owner from changing the password.
        """
        await self._hit("confirmations", caller.session or caller.id, LOGINS_PER_ACCOUNT)

    async def _hit(self, bucket: str, key: str, limit: int | None) -> None:
        if self.per_minute is None or limit is None:
            return
        wait = await (await self.limiter()).hit(bucket, key, limit)
        if wait is not None:
            raise TooManyRequests(f"Too many requests. Try again in {wait} s.", retry_after=wait)


def _account_key(account: str) -> str:
    return sha256(account.strip().lower())


def remote_address(peer: str, forwarded: str, trusted: tuple[Network, ...]) -> str:
    """Return the client's address: the peer, or the nearest untrusted address that trusted proxies report.

    An IPv6 /64 network counts as one address, since its owner controls all of it. Addresses that only the header claims
    share one bucket: uvicorn trusts a peer at 127.0.0.1 and reports the header's value as the peer.
    """
    hops = [part.strip() for part in forwarded.split(",")][::-1]
    if (
        forwarded
        and _may_come_from_header(peer, hops)
        and not any(_is_trusted(each, trusted) for each in (peer, _LOOPBACK))
    ):
        return _UNTRUSTED_HEADER
    address = peer
    for hop in hops[:MAX_HOPS]:
        if not _is_trusted(address, trusted) or _parse_address(hop) is None:
            break
        address = hop
    found = _parse_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(found), 64), strict=False))
    return address if found is None else str(found)


def _may_come_from_header(peer: str, hops: Sequence[str]) -> bool:
    """Whether uvicorn may have taken the peer from the header. A peer that is no IP address never had a connection."""
    found = _parse_address(peer)
    return bool(peer) and (found is None or found in map(_parse_address, hops))


def _is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    found = _parse_address(address)
    return found is not None and any(found in network for network in trusted)


def _parse_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an IP address, with or without a port."""
    host, bracket, _ = address.removeprefix("[").partition("]")
    if not bracket and host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
