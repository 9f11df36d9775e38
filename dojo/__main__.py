"""The command line: `python -m dojo VERB`. The nox sessions of the same names call it."""

import argparse
import importlib
import sys

from dojo.errors import DojoError, did_you_mean
from dojo.verbs import VERBS, sentence


def main(argv: list[str]) -> int:
    verb = argv[0] if argv else ""
    if verb in VERBS:
        module = importlib.import_module(f"dojo.commands.{verb}")
        parser = argparse.ArgumentParser(prog=f"python -m dojo {verb}", description=module.__doc__)
        module.add_arguments(parser)
        return module.run(parser.parse_args(argv[1:]))
    if verb in ("", "-h", "--help"):
        print("python -m dojo VERB [KATA …]\n")
        print("\n".join(f"  {name:<10} {sentence(name)}" for name in VERBS))
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
