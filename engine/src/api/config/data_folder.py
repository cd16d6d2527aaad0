"""Keep the data folder from other accounts of the machine."""

import os
import stat
from itertools import islice
from pathlib import Path

__all__ = ["restrict_data_folder"]

MAX_ENTRIES = 1_000
_OTHERS = 0o077


def restrict_data_folder(folder: Path) -> None:
    """Take the rights of group and others from an existing folder and what lies directly in it.

    Only what the engine's account owns is changed. A folder that many share, such as a home folder or `/tmp`, is left.
    """
    if not folder.is_dir() or folder.resolve() == Path.home() or folder.stat().st_mode & stat.S_ISVTX:
        return
    for path in (folder, *islice(folder.iterdir(), MAX_ENTRIES)):
        found = path.lstat()
        is_ours = found.st_uid == os.geteuid() and (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))
        if is_ours and found.st_mode & _OTHERS:
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
