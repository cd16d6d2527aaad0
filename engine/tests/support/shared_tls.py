"""Read the certificate store once for a test process, not for each HTTP client that a test opens."""

import functools
import os
import ssl
import sys
from collections.abc import Callable

__all__ = ["share_tls_contexts"]

CreateContext = Callable[..., ssl.SSLContext]
CREATE = "create_ssl_context"


def share_tls_contexts() -> None:
    """Let clients of httpx without settings for TLS share one context: reading the certificates takes 20 ms of CPU.

    Libraries that no test has imported yet are left alone.
    """
    for library in ("httpx", "httpx2"):
        transports = sys.modules.get(f"{library}._transports.default")
        if transports is not None and not hasattr(getattr(transports, CREATE), "__wrapped__"):
            setattr(transports, CREATE, _share_default(getattr(transports, CREATE)))


def _share_default(create: CreateContext) -> CreateContext:
    @functools.cache
    def default(*_environment: str | None) -> ssl.SSLContext:
        return create()

    @functools.wraps(create)
    def share_or_create(verify: object = True, cert: object = None, trust_env: bool = True) -> ssl.SSLContext:
        if verify is True and cert is None and trust_env:
            return default(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        return create(verify=verify, cert=cert, trust_env=trust_env)

    return share_or_create
