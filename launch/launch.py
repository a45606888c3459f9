"""Start paired instances from a source tree: `python launch/launch.py hello` is `stramash run hello
--on x86,arm`.

Every option of `stramash run` may follow; without --on a copy of the program runs on each node of
the pair.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAIR = ("--on", "x86,arm")


def command(arguments: list[str]) -> list[str]:
    """The `stramash` command line for these arguments."""
    ours = arguments[: arguments.index("--")] if "--" in arguments else arguments
    placed = any(word == "--on" or word.startswith("--on=") for word in ours)
    return ["run", *(() if placed else PAIR), *arguments]


def main() -> None:
    """Run the pair and exit with the guest's status."""
    sys.path[0] = str(ROOT)  # started as a script: the folder of the packages, not of this file
    from launch.cli import execute

    sys.exit(execute(command(sys.argv[1:])))


if __name__ == "__main__":
    main()
