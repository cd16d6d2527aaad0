"""Clients of plain HTTP, which load no certificates: that takes longer than most requests of a test."""

import ssl

import httpx

from tests.support.waiting import PATIENCE

__all__ = ["plain_client"]

_TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def plain_client(base_url: str) -> httpx.AsyncClient:
    """Return a client for an address of this machine. Enter it as a context manager."""
    return httpx.AsyncClient(base_url=base_url, timeout=PATIENCE, verify=_TRUSTS_NOBODY)
