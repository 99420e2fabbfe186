"""Runs checks one after another and prints what came of each; serves every version of the SDK."""

import traceback

import svix


class Skipped(Exception):
    """An operation outside the promised set that the server does not serve (404)."""


def check_that(condition, message):
    """`assert` that stays when Python runs optimised."""
    if not condition:
        raise AssertionError(message)


def check_equal(actual, expected, what):
    check_that(actual == expected, f"{what}: expected {expected!r}, got {actual!r}")


def run(checks, world):
    """Runs every check against `world` and closes its receiver. Answers the exit code: 1 if any failed."""
    passed = failed = skipped = 0
    for check in checks:
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
