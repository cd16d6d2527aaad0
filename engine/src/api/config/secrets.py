"""Keys that the engine makes for itself, and what is wrong with those that people make."""

import os
import secrets
from pathlib import Path

__all__ = ["kept_secret", "weakness"]

MINIMUM_BYTES = 32
_WELL_KNOWN = ("secret", "changeme", "change-me", "change_me", "password", "your-", "your_", "default", "example")


def weakness(secret: str) -> str | None:
    """What makes this secret unfit to sign tokens, as the end of a sentence about it; None if nothing does."""
    if not secret:
        return "is not set, so nobody could sign in safely"
    if len(secret.encode()) < MINIMUM_BYTES:
        return f"is shorter than {MINIMUM_BYTES} bytes, so tokens could be forged"
    if len(set(secret)) < 8 or secret.lower().startswith(_WELL_KNOWN):
        return "looks like a default or an example, so tokens could be forged"
    return None


def kept_secret(path: Path) -> str:
    """The secret in this file, made at the first call. Only its owner can read it; two first calls agree on one."""
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
