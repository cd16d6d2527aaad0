"""HTTP clients for this machine.

They load no certificates, which takes longer than most requests of a test, and read no environment, which pytest
changes while other threads run.
"""

import httpx

from tests.support.waiting import PATIENCE

__all__ = ["loopback", "loopback_async"]


def loopback() -> httpx.Client:
    return httpx.Client(verify=False, trust_env=False, timeout=PATIENCE)  # noqa: S501 - nothing is encrypted here


def loopback_async(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, verify=False, trust_env=False, timeout=PATIENCE)  # noqa: S501 - as above
