"""Start a real PgBouncer in front of a PostgreSQL."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

from tests.support.ports import free_port
from tests.support.process_guard import GuardedProcess
from tests.support.services import (
    UnavailableError,
    answers_postgres,
    change_owner,
    run_service,
    temporary_folder,
    unprivileged_user,
)

__all__ = ["pgbouncer"]


@contextmanager
def pgbouncer(url: str, mode: str = "transaction", *, port: int | None = None, **options: int) -> Iterator[str]:
    """Start a PgBouncer in front of a PostgreSQL server; yield the URL of the same database behind it.

    Args:
        url: the database's URL.
        mode: PgBouncer's `pool_mode`.
        port: the port to listen on; without it, a free one.
        options: further settings of PgBouncer.

    Raises:
        UnavailableError: there is no binary, or the pooler did not start.
    """
    binary = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        raise UnavailableError("no PgBouncer: install it (apt-get install pgbouncer)")
    user, server, chosen = unprivileged_user(), urlsplit(url), port or free_port()
    with temporary_folder("pgbouncer", user) as folder:
        users, config = folder / "users.txt", folder / "pgbouncer.ini"
        users.write_text(f'"{server.username}" "{server.password}"\n')
        given = {"listen_addr": "127.0.0.1", "listen_port": chosen, "auth_type": "trust", "auth_file": users}
        given |= {"unix_socket_dir": "", "pool_mode": mode, "max_client_conn": 200, "default_pool_size": 5, **options}
        lines = [f"{name} = {value}" for name, value in given.items()]
        databases = f"[databases]\n* = host={server.hostname} port={server.port}\n"
        config.write_text("\n".join([databases, "[pgbouncer]", *lines, ""]))
        for file in (users, config):
            change_owner(file, user)
        behind = urlunsplit(server._replace(netloc=f"{server.username}:{server.password}@127.0.0.1:{chosen}"))
        with run_service(GuardedProcess(str(folder), (binary, str(config)), user), lambda: answers_postgres(behind)):
            yield behind
