"""Where the sockets of a run lie: a private folder (ipc, and a plain stream for the turns), or this
host's addresses (tcp, CURVE).
"""

import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cosim.errors import InputError, MachineError
from cosim.local_channel import SCHEME as LOCAL_SCHEME
from cosim.process import FOLDER_PREFIX, remove_folder
from cosim.transport import Keys, new_keys

SOCKET_NAMES = ("control", "turns", "telemetry", "pages")
OUTSIDE = "outside"  # the socket for commands from other terminals, always in the folder
TOKEN_FILE = "token"  # the run's secret, for those commands; only its owner can read it
UNIX_PATH_BYTES_MAX = 107  # sun_path of sockaddr_un, less the final zero
SUPERVISOR_FILE = "supervisor"  # holds the supervisor's pid, for `stramash ps` and `stramash clean`


@dataclass(frozen=True)
class Sockets:
    """One run's private folder, endpoints to bind, secret token and CURVE keys (None with ipc)."""

    folder: Path
    endpoints: dict[str, str]
    token: str
    keys: Keys | None

    def remove(self) -> None:
        """Remove the folder."""
        remove_folder(str(self.folder))


def outside_endpoint(folder: Path) -> str:
    """Where the machine with this folder takes commands."""
    return f"ipc://{folder}/{OUTSIDE}"


def _bases() -> list[Path]:
    """Where a private folder may be made, best first; /tmp because a long TMPDIR does not fit a
    socket's path.
    """
    names = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")
    return [Path(name) for name in names if name and os.access(name, os.W_OK | os.X_OK)]


def make_sockets(tcp_host: str = "") -> Sockets:
    """Make the private folder (mode 0700) and name the endpoints: ipc, or tcp on the address
    tcp_host.

    InputError for a host that is not an address; MachineError when no folder can be made.
    """
    if tcp_host and not all(part.isdigit() for part in tcp_host.split(".")):
        raise InputError(
            f"tcp host {tcp_host!r}: give a numeric IPv4 address of this host, for example "
            f"127.0.0.1"
        )
    folder = private_folder()
    places = {
        name: f"tcp://{tcp_host}:*" if tcp_host else f"ipc://{folder}/{name}"
        for name in SOCKET_NAMES
    }
    if not tcp_host:
        places["turns"] = f"{LOCAL_SCHEME}{folder}/turns"
    places[OUTSIDE] = outside_endpoint(folder)
    token = secrets.token_hex(16)
    with open(
        folder / TOKEN_FILE, "x", opener=lambda path, flags: os.open(path, flags, 0o600)
    ) as f:
        f.write(token)
    return Sockets(folder, places, token, new_keys() if tcp_host else None)


def private_folder() -> Path:
    """Make a folder for the owner alone, which names its process.  MachineError when none can be
    made.
    """
    longest = len(f"/{FOLDER_PREFIX}xxxxxxxx/") + max(len(name) for name in SOCKET_NAMES)
    base = next((b for b in _bases() if len(os.fsencode(b)) + longest <= UNIX_PATH_BYTES_MAX), None)
    if base is None:
        raise MachineError(
            "no writable folder for sockets: set XDG_RUNTIME_DIR or TMPDIR to a short, writable one"
        )
    folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=base))
    (folder / SUPERVISOR_FILE).write_text(f"{os.getpid()}\n")
    return folder
