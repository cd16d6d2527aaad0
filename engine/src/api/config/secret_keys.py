"""Create the engine's own keys, and check the strength of configured ones."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

__all__ = ["derive_local_key", "find_weakness", "load_or_create_secret"]

MINIMUM_BYTES = 32
_WELL_KNOWN = ("secret", "changeme", "change-me", "change_me", "password", "your-", "your_", "default", "example")


def find_weakness(secret: str) -> str | None:
    """Return why this secret is too weak to sign tokens, as the end of a sentence; None if it is strong."""
    if not secret:
        return "is not set, so sign-in would not be safe"
    if len(secret.encode()) < MINIMUM_BYTES:
        return f"is shorter than {MINIMUM_BYTES} bytes, so tokens could be forged"
    if len(set(secret)) < 8 or secret.lower().startswith(_WELL_KNOWN):
        return "looks like a default or an example, so tokens could be forged"
    return None


def derive_local_key(secret: str) -> str:
    """Derive the key that lets other accounts of this machine in, in local mode."""
    return hmac.new(secret.encode(), b"key of local mode", hashlib.sha256).hexdigest()[:40]


def load_or_create_secret(path: Path) -> str:
    """Return the secret in this file, creating it on the first call.

    Only the file's owner can read it. Two concurrent first calls return the same secret.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(fresh)
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return path.read_text().strip()
