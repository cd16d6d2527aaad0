"""Write the root file system of the images: Python, a virtual environment, and the C libraries that they need.

    python3 rootfs.py ENVIRONMENT ROOT [--above LOWER]

Copies the Python that runs this, its standard library without tests, the environment, the shared libraries that any of
these loads, and certificates. Adds the accounts root and skyflo. There is no shell and no other program. With
`--above`, writes only what a root that was made before lacks: a layer above it.
"""

import argparse
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


UNUSED = "lib/python3.*/site-packages/litellm/proxy/_experimental/out"
"""Web pages of LiteLLM's proxy server, which we do not run: 22 MB."""

KEPT_SYMBOLS = "psycopg_binary"
"""Libraries that auditwheel rewrote, in folders that start so, break when symbols are removed."""


def main(environment: Path, root: Path, lower: Path | None) -> None:
    """Make the root, or with `lower` a layer above that."""
    library = Path(sysconfig.get_path("stdlib"))
    copy = _inside(root, environment)
    programs = [] if lower else _copy_python(environment, root, library)
    _copy_environment(environment, copy, lower and _inside(lower, environment))
    libraries = [environment / path.relative_to(copy) for path in copy.rglob("*.so*")]
    for needed in sorted(_shared_libraries([*programs, *libraries])):
        if not needed.is_relative_to(environment) and not (lower and _place(needed, lower).exists()):
            _copy_file(needed, root)
    _strip(copy)
    for folder in [copy] if lower else [copy, _inside(root, library)]:
        _compile(folder, root)


def _copy_python(environment: Path, root: Path, library: Path) -> list[Path]:
    """Copy Python with its standard library, and what every root has. Return the files that load libraries."""
    python = Path(os.path.realpath(sys.executable))
    _make_folders(root)
    shutil.copytree(library, _inside(root, library), symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for link in _links(environment / "bin" / "python"):
        if not link.is_relative_to(environment):
            _inside(root, link).parent.mkdir(parents=True, exist_ok=True)
            _inside(root, link).symlink_to(link.readlink())
    for path in (python, CERTIFICATES, LIBRARY_CACHE):
        _copy_file(path, root)
    for name, text in FILES.items():
        (root / name).write_text(text)
    return [python, *library.rglob("*.so")]


def _copy_environment(environment: Path, copy: Path, lower: Path | None) -> None:
    """Link the files of the environment into `copy`, without those that the copy in `lower` has."""
    unused = set(environment.glob(UNUSED))

    def leave_out(folder: str, names: list[str]) -> list[str]:
        """Return the commands of libraries, the lock of the installer, and what is unused or in `lower`."""
        found = [name for name in names if name == ".lock" or Path(folder, name) in unused]
        if folder.endswith("/bin"):
            found += [name for name in names if not name.startswith("python")]
        if lower:
            there = lower / Path(folder).relative_to(environment)
            found += [name for name in names if (there / name).is_symlink() or (there / name).is_file()]
        return found

    shutil.copytree(environment, copy, symlinks=True, ignore=leave_out, copy_function=os.link)


def _strip(folder: Path) -> None:
    """Remove the symbols for debuggers: 70 MB."""
    libraries = [path for path in folder.rglob("*.so") if not any(part.startswith(KEPT_SYMBOLS) for part in path.parts)]
    subprocess.run(["strip", "--strip-unneeded", *libraries], check=True)


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


def _inside(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _links(path: Path) -> Iterable[Path]:
    """Yield each symbolic link from `path` to the file that it ends at."""
    while path.is_symlink():
        yield path
        path = path.parent / path.readlink()


def _place(path: Path, root: Path) -> Path:
    """Return where `path` is in the root; links in its folder's path are resolved, since /lib is one."""
    return _inside(root, Path(os.path.realpath(path.parent)) / path.name)


def _copy_file(path: Path, root: Path) -> None:
    """Copy what `path` names."""
    target = _place(path, root)
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("environment", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--above", type=Path, metavar="LOWER")
    options = parser.parse_args()
    main(options.environment, options.root, options.above)
