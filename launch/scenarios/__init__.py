"""The scenarios that come with Stramash, one file each: `stramash run NAME`, `stramash bench
NAME`."""

from pathlib import Path


def bundled() -> dict[str, Path]:
    """Name -> file."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("[a-z]*.py"))}
