"""`python -m skyflo_tools`: takes the lock, opens the port, says where, serves."""

import os
import sys


def main() -> int:
    os.environ.setdefault("FASTMCP_LOG_ENABLED", "false")  # its log goes through rich; ours is plain lines on stderr
    os.environ.setdefault("FASTMCP_CHECK_FOR_UPDATES", "off")
    from skyflo_tools.process import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
