"""Where the command line writes for people and for pipes."""

import sys

from rich.console import Console

PIPE_COLUMNS = 240


def errors_console() -> Console:
    """For people: stderr."""
    return Console(stderr=True, highlight=False)


def output_console() -> Console:
    """For results that were asked for: stdout, and wide enough for a pipe never to cut a line."""
    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    return Console(highlight=False, width=width)
