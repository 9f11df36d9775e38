"""The command line: `python -m dojo VERB`. The nox sessions of the same names call it."""

import argparse
import importlib
import sys

from dojo.errors import DojoError, did_you_mean

VERBS = {
    "check": "grade what you have written, and show the board",
    "watch": "check each kata when you save it, at once",
    "next": "say which kata to do next, and why",
    "hint": "show the next hint for the level where you stand",
    "show": "show a kata; its solution and answer once you pass",
    "interview": "a mock interview: an unsolved kata, a clock and a scorecard",
    "report": "write your progress as an HTML page",
    "reset": "put a stub back as it came, keeping what you wrote",
    "solutions": "run every level on the reference solutions",
    "mistakes": "prove that the tests refuse every known mistake, at its level",
    "mutants": "run the tests on automatic mutants of the solutions, and list the survivors",
    "pictures": "draw the README's pictures from the program itself",
    "bench": "measure what a check costs, side by side with the bare import",
}


def main(argv: list[str]) -> int:
    verb = argv[0] if argv else ""
    if verb in VERBS:
        module = importlib.import_module(f"dojo.commands.{verb}")
        parser = argparse.ArgumentParser(prog=f"python -m dojo {verb}", description=module.__doc__)
        module.add_arguments(parser)
        return module.run(parser.parse_args(argv[1:]))
    if verb in ("", "-h", "--help"):
        print("python -m dojo VERB [KATA …]\n")
        print("\n".join(f"  {name:<10} {purpose}" for name, purpose in VERBS.items()))
        print("\nEach verb explains itself with --help.")
        return 0
    raise DojoError(f"There is no verb {verb!r}.{did_you_mean(verb, VERBS)} All verbs: python -m dojo --help")


def run() -> None:
    try:
        sys.exit(main(sys.argv[1:]))
    except DojoError as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")


if __name__ == "__main__":
    run()
