"""Write the root file system of the images: Python, a virtual environment, and the C libraries that they need.

    python3 rootfs.py ENVIRONMENT ROOT

Copies the Python that runs this, its standard library without tests, the environment, the shared libraries that any of
these loads, and certificates. Adds the accounts root and skyflo. There is no shell and no other program.
"""

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

UID = 10001
LEFT_OUT = (
    "__pycache__",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "pydoc_data",
    "site-packages",
)
"""Folders of the standard library that a server has no use for."""

FILES = {
    "etc/passwd": f"root:x:0:0:root:/:/none\nskyflo:x:{UID}:{UID}:skyflo:/data:/none\n",
    "etc/group": f"root:x:0:\nskyflo:x:{UID}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
LIBRARY_CACHE = Path("/etc/ld.so.cache")
"""Tells the loader of libraries outside its own folders, such as a Python's in /usr/local/lib."""


def main(environment: Path, root: Path) -> None:
    """Make the root."""
    python = Path(os.path.realpath(sys.executable))
    library = Path(sysconfig.get_path("stdlib"))
    _make_folders(root)
    shutil.copytree(environment, _inside(root, environment), symlinks=True, ignore=_leave_out)
    shutil.copytree(library, _inside(root, library), symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    _copy_file(python, root)
    for link in _links(environment / "bin" / "python"):
        _inside(root, link).parent.mkdir(parents=True, exist_ok=True)
        if not _inside(root, link).is_symlink():
            _inside(root, link).symlink_to(link.readlink())
    for needed in sorted(_shared_libraries([python, *library.rglob("*.so"), *environment.rglob("*.so*")])):
        if not needed.is_relative_to(environment):
            _copy_file(needed, root)
    _copy_file(CERTIFICATES, root)
    _copy_file(LIBRARY_CACHE, root)
    for name, text in FILES.items():
        (root / name).write_text(text)
    for folder in (_inside(root, library), _inside(root, environment)):
        _compile(folder, root)


def _make_folders(root: Path) -> None:
    """Make the folders of the system, and the two that the account may write to."""
    for name in ("dev", "etc", "proc", "run", "sys", "usr/lib", "usr/lib64", "var"):
        (root / name).mkdir(parents=True)
    (root / "var" / "run").symlink_to("/run")
    for name in ("lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "data").mkdir()
    os.chown(root / "data", UID, UID)


def _leave_out(folder: str, names: list[str]) -> list[str]:
    """Return what an environment has no use for: the commands of libraries, and the lock of its installer."""
    return [name for name in names if name == ".lock" or (folder.endswith("/bin") and not name.startswith("python"))]


def _inside(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _links(path: Path) -> Iterable[Path]:
    """Yield each symbolic link from `path` to the file that it ends at."""
    while path.is_symlink():
        yield path
        path = path.parent / path.readlink()


def _copy_file(path: Path, root: Path) -> None:
    """Copy what `path` names to the same path; links in its folder's path are resolved, since /lib is one."""
    target = _inside(root, Path(os.path.realpath(path.parent)) / path.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)


def _shared_libraries(programs: Iterable[Path]) -> set[Path]:
    """Return what the loader finds for these programs and libraries. Raises SystemExit for one that is missing."""
    found: set[Path] = set()
    done = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False)
    program = ""
    for line in done.stdout.splitlines():
        name, _, rest = line.strip().partition(" => ")
        if not line.startswith("\t"):
            program = line
        elif rest == "not found":
            sys.exit(f"{program} needs {name}, which this base does not have")
        elif (path := (rest or name).split(" (")[0]).startswith("/"):
            found.add(Path(path))
    (libc,) = [path for path in found if path.name == "libc.so.6"]
    return found | {libc.with_name("libgcc_s.so.1")}  # loaded by libc itself when a thread ends


def _compile(folder: Path, root: Path) -> None:
    """Compile all modules. Nothing compares them with their sources later, whose times a copy may change."""
    compileall.compile_dir(
        folder,
        quiet=2,
        workers=0,
        stripdir=str(root),
        prependdir="/",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
