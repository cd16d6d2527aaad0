"""Take Python's place where others start it: get `-m MODULE` from the pool, and end as that ends.

`pooled_process` writes this text into a program of its own, next to the pool's socket and a link to the real Python,
which runs everything else. Signals are passed on; if this process is killed, the pool kills the other one.
"""

import json
import os
import signal
import socket
import sys
from types import FrameType

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> None:
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100,PTH120 - pathlib takes longer than the rest
    real = os.readlink(f"{folder}/real")  # noqa: PTH115
    if sys.argv[1:2] != ["-m"]:
        os.execv(real, [real, *sys.argv[1:]])  # noqa: S606
    files = [number for number in map(int, os.listdir("/proc/self/fd")) if _is_inherited(number)]  # noqa: PTH208
    order = {
        "module": sys.argv[2],
        "arguments": sys.argv[3:],
        "environment": dict(os.environ),
        "folder": os.getcwd(),  # noqa: PTH109
        "files": files,
        "own_session": False,
        "executable": f"{folder}/python",
    }
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(f"{folder}/socket")
    socket.send_fds(connection, [json.dumps(order).encode()], files)
    pid = json.loads(connection.recv(4096))["pid"]

    def pass_on(number: int, _frame: FrameType | None) -> None:
        os.kill(pid, number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    code = os.waitstatus_to_exitcode(json.loads(connection.recv(4096))["status"])
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _is_inherited(number: int) -> bool:
    try:
        return os.get_inheritable(number)
    except OSError:  # it listed the folder
        return False


if __name__ == "__main__":
    main()
