"""Folders in the cache that are made once, also when several processes want them at once."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A fresh folder beside what is to be made, so that it can be moved; removed in the end."""
    with tempfile.TemporaryDirectory(prefix="scratch.", dir=parent) as name:
        yield Path(name)


def folder_made_once(wanted: Path, make: Callable[[Path], None]) -> Path:
    """The folder `wanted`; when it is not there, `make` fills a fresh one, which gets the name.

    Another process that wants it meanwhile waits.  What a failed `make` left is removed.
    """
    if wanted.is_dir():
        return wanted
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with wanted.with_name(f"{wanted.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if wanted.is_dir():
            return wanted
        fresh = Path(tempfile.mkdtemp(prefix=f"{wanted.name}.", dir=wanted.parent))
        try:
            make(fresh)
            os.replace(fresh, wanted)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return wanted
