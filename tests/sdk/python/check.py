"""Runs every check with the installed Svix SDK (1.x or 2.x) against one running server.

Usage: check.py SERVER_URL ROOT_KEY. Prints one line per check and last `N passed, M failed`;
exits with 1 if any failed. The checks themselves are in the `checks_*` files.
"""

import sys

import checks_config
import checks_messages
import checks_recovery
from runner import run
from world import World

CHECKS = checks_config.CHECKS + checks_messages.CHECKS + checks_recovery.CHECKS


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(run(CHECKS, World(*sys.argv[1:])))
