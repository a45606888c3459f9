"""Programs for a host that has none of our files: their bytes travel with what names them.

`pack` puts the content of every file that a description names beside it, `unpack` writes them to a
folder of the other host and names them there.
"""

import hashlib
from pathlib import Path
from typing import Any

from cosim.errors import InputError

CONTENTS = "contents"
BYTES_MAX = 32 << 20  # of all files of one description: they travel in one message


def pack(description: dict[str, Any], paths: list[str]) -> dict[str, Any]:
    """The description with the bytes of these files.  InputError when they are too large."""
    contents = {path: Path(path).read_bytes() for path in sorted(set(paths))}
    total = sum(map(len, contents.values()))
    if total > BYTES_MAX:
        raise InputError(
            f"{', '.join(contents)}: {total} bytes of programs for a node on another host, at most"
            f" {BYTES_MAX}; give it a path that both hosts have, or a smaller program"
        )
    return {**description, CONTENTS: contents}


def unpack(description: dict[str, Any], folder: str) -> dict[str, Any]:
    """The description with local paths, if it was packed; else as it is."""
    contents = description.get(CONTENTS)
    if contents is None:
        return description
    names = {}
    for path, data in contents.items():
        digest = hashlib.blake2b(data, digest_size=8).hexdigest()
        place = Path(folder) / "programs" / digest / Path(path).name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        names[path] = str(place)
    rest = {key: value for key, value in description.items() if key != CONTENTS}
    return _renamed(rest, names)


def _renamed(tree: Any, names: dict[str, str]) -> Any:
    """The tree with every text that is one of the names replaced."""
    if isinstance(tree, dict):
        return {key: _renamed(value, names) for key, value in tree.items()}
    return names.get(tree, tree) if isinstance(tree, str) else tree
