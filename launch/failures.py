"""Failures as one line that says what, where, and what to do."""

import traceback
from pathlib import Path

from cosim.errors import StramashError


def one_line(error: BaseException) -> str:
    """What a user reads about a failure."""
    if hasattr(
        error, "format_message"
    ):  # the option parser's errors, whichever version of it is installed
        return " ".join(error.format_message().split()) + "; `stramash --help` shows the commands"
    if isinstance(error, StramashError):
        return " ".join(str(error).split())
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    return f"unexpected {type(error).__name__} at {where}: {error}; STRAMASH_DEBUG=1 shows more"
