"""How often somebody may ask: per person once known, per address before that, and less often at the door."""

import ipaddress
from collections.abc import Awaitable, Callable, Sequence

from src.api.errors import TooManyRequests
from src.api.ports import RateLimiter
from src.api.utils.canonical import sha256

__all__ = ["RateLimits", "remote_address"]

LOGINS_PER_ACCOUNT = 10
LOGINS_PER_ADDRESS = 30
REGISTRATIONS_PER_ADDRESS = 10
LETTERS_PER_ADDRESS = 10
LETTERS_PER_ACCOUNT = 3
_HOPS = 20
_LOOPBACK = "127.0.0.1"
_UNPROVED = "forwarded"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class RateLimits:
    """`per_minute` is what one person, or one address, may ask in a minute; None: no limits at all."""

    def __init__(self, limiter: Callable[[], Awaitable[RateLimiter]], per_minute: int | None) -> None:
        self._limiter = limiter
        self._per_minute = per_minute

    async def request(self, caller: str | None, address: str) -> None:
        """Any request. Raises `TooManyRequests`."""
        await self._hit("requests", caller or address, self._per_minute)

    async def login(self, address: str, account: str) -> None:
        """An attempt to sign in, right or wrong. Raises `TooManyRequests`."""
        await self._hit("logins-from", address, LOGINS_PER_ADDRESS)
        await self._hit("logins-as", _named(account), LOGINS_PER_ACCOUNT)

    async def provider(self, address: str) -> None:
        """A step of a sign-in by an OpenID provider. Raises `TooManyRequests`."""
        await self._hit("logins-from", address, LOGINS_PER_ADDRESS)

    async def registration(self, address: str) -> None:
        """An attempt to make an account. Raises `TooManyRequests`."""
        await self._hit("registrations", address, REGISTRATIONS_PER_ADDRESS)

    async def letter(self, address: str, account: str) -> None:
        """A request for an e-mail to an account, there or not. Raises `TooManyRequests`."""
        await self._hit("letters-from", address, LETTERS_PER_ADDRESS)
        await self._hit("letters-to", _named(account), LETTERS_PER_ACCOUNT)

    async def confirmation(self, caller: str) -> None:
        """A guess at the password of somebody who is signed in: a session may be stolen. Raises `TooManyRequests`."""
        await self._hit("confirmations", caller, LOGINS_PER_ACCOUNT)

    async def _hit(self, bucket: str, key: str, most: int | None) -> None:
        if self._per_minute is None or most is None:
            return
        wait = await (await self._limiter()).hit(bucket, key, min(most, self._per_minute))
        if wait is not None:
            raise TooManyRequests(f"That was too often. Try again in {wait} s.", retry_after=wait)


def _named(account: str) -> str:
    return sha256(account.strip().lower())


def remote_address(peer: str, forwarded: str, trusted: tuple[Network, ...]) -> str:
    """Who sent a request: the peer, or, where that is a trusted proxy, the nearest one it names that is not.

    An IPv6 network of 64 bits counts as one address, for whoever has one has all of them. Those whom only the header
    names are counted as one: uvicorn believes a peer at 127.0.0.1 and shows what it says in its place.
    """
    hops = [part.strip() for part in forwarded.split(",")][::-1]
    if forwarded and _is_said(peer, hops) and not any(_is_trusted(each, trusted) for each in (peer, _LOOPBACK)):
        return _UNPROVED
    address = peer
    for hop in hops[:_HOPS]:
        if not _is_trusted(address, trusted) or _parsed(hop) is None:
            break
        address = hop
    found = _parsed(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(found), 64), strict=False))
    return address if found is None else str(found)


def _is_said(peer: str, hops: Sequence[str]) -> bool:
    """Whether the peer may be what the header says; no connection comes from what is no address."""
    found = _parsed(peer)
    return bool(peer) and (found is None or found in map(_parsed, hops))


def _is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    found = _parsed(address)
    return found is not None and any(found in network for network in trusted)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Some proxies write the port behind it."""
    host, bracket, _ = address.removeprefix("[").partition("]")
    if not bracket and host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
