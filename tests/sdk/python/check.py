"""Runs every check with the installed Svix SDK (1.x or 2.x) against one running server.

Usage: check.py SERVER_URL ROOT_KEY. Prints one line per check and last `N passed, M failed`;
exits with 1 if any failed. The checks themselves are in the `checks_*` files.
"""

import sys
import traceback

import svix

import checks_config
import checks_messages
import checks_recovery
from world import Skipped, World

CHECKS = checks_config.CHECKS + checks_messages.CHECKS + checks_recovery.CHECKS


def main(server_url, token):
    world = World(server_url, token)
    passed = failed = skipped = 0
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            check(world)
        except Skipped as reason:
            skipped += 1
            print(f"skip  {name}: {reason}", flush=True)
        except Exception as error:
            failed += 1
            print(f"FAIL  {name}: {type(error).__name__}: {error}", flush=True)
            # An AssertionError says it all; anything else is a surprise whose place matters.
            if not isinstance(error, AssertionError):
                traceback.print_exc()
        else:
            passed += 1
            print(f"ok    {name}", flush=True)
    world.receiver.close()
    if skipped:
        print(f"{skipped} skipped (operations the server does not serve)")
    print(f"python svix {svix.__version__}: {passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
