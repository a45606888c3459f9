"""Can a guest leave its root?  Do paths resolve as Linux resolves them?"""

import os
from dataclasses import dataclass

import pytest

from cosim.errors import InputError
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.paths import Sandbox


@dataclass
class Process:
    """What a walk needs of a process."""

    cwd: str = "/"


@pytest.fixture
def host(tmp_path):
    """A root with some content, beside a secret that must stay out of reach."""
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "root"
    (root / "folder" / "inner").mkdir(parents=True)
    (root / "file").write_text("inside")
    (root / "folder" / "file").write_text("deeper")
    (root / "up").symlink_to("../secret")
    (root / "absolute").symlink_to(tmp_path / "secret")
    (root / "etc").symlink_to("/etc")
    (root / "folder" / "out").symlink_to("../../../../../../etc/passwd")
    (root / "folder" / "top").symlink_to("/file")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    (root / "to-folder").symlink_to("folder/inner")
    return root


@pytest.fixture
def sandbox(host):
    return Sandbox(str(host), lambda path, process: None, lambda: None)


def walk(sandbox, path, cwd="/", **options):
    with sandbox.walk(Process(cwd), path, **options) as place:
        return place.path, place.exists, place.is_folder


@pytest.mark.parametrize(
    "path",
    ("up", "absolute", "etc/passwd", "folder/out", "../secret", "../../etc/passwd", "/../secret",
     "folder/../../secret", "folder/inner/../../../secret", "to-folder/../../../secret",
     "etc/../../secret", "//..//..//secret", "folder/./../.././secret"),
)  # fmt: skip
def test_no_path_leads_out(sandbox, path):
    try:
        found = walk(sandbox, path)
    except KernelError as error:
        assert error.errno in (Errno.ENOENT, Errno.ENOTDIR, Errno.ELOOP)
    else:
        assert not found[1], f"{path} reached {found[0]}"


@pytest.mark.parametrize(
    ("path", "cwd", "expected"),
    (("/", "/", ("/", True, True)), (".", "/folder", ("/folder", True, True)),
     ("..", "/", ("/", True, True)), ("file", "/folder", ("/folder/file", True, False)),
     ("../file", "/folder", ("/file", True, False)), ("folder/top", "/", ("/file", True, False)),
     ("to-folder", "/", ("/folder/inner", True, True)),
     ("to-folder/..", "/", ("/folder", True, True)), ("dangling", "/", ("/nowhere", False, False)),
     ("new", "/folder", ("/folder/new", False, False)),
     ("folder//inner/.", "/", ("/folder/inner", True, True))),
)  # fmt: skip
def test_paths_resolve(sandbox, path, cwd, expected):
    assert walk(sandbox, path, cwd) == expected


@pytest.mark.parametrize(
    ("path", "errno"),
    (("loop", Errno.ELOOP), ("file/x", Errno.ENOTDIR), ("none/x", Errno.ENOENT), ("", Errno.ENOENT),
     ("x" * 256, Errno.ENAMETOOLONG), ("y/" * 3000, Errno.ENAMETOOLONG),
     ("file/..", Errno.ENOTDIR)),
)  # fmt: skip
def test_errors(sandbox, path, errno):
    with pytest.raises(KernelError) as raised:
        walk(sandbox, path)
    assert raised.value.errno == errno


def test_the_last_link_is_kept_when_asked(sandbox):
    with sandbox.walk(Process(), "up", follow=False) as place:
        assert place.path == "/up"
        assert place.exists


def test_a_file_with_a_slash_behind_it_is_refused(sandbox):
    with sandbox.walk(Process(), "file/") as place, pytest.raises(KernelError) as raised:
        place.require()
    assert raised.value.errno == Errno.ENOTDIR


def test_a_folder_swapped_for_a_link_is_not_followed(sandbox, host, monkeypatch):
    """The host changes a folder into a link between our look and our step."""
    real = os.lstat

    def lstat(name, *, dir_fd=None):
        status = real(name, dir_fd=dir_fd)
        if name == "folder":
            os.rename(host / "folder", host / "moved")
            os.symlink("/etc", host / "folder")
        return status

    monkeypatch.setattr(os, "lstat", lstat)
    with pytest.raises(KernelError):
        walk(sandbox, "folder/passwd")


def test_no_descriptor_is_lost(sandbox):
    before = len(os.listdir("/proc/self/fd"))
    for path in ("up", "folder/inner", "to-folder/..", "/", "loop", "none/x", "file/x", "dangling"):
        try:
            walk(sandbox, path)
        except KernelError:
            continue
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_missing_root_is_one_line():
    with pytest.raises(InputError, match=r"^--root /no/such/folder: .*; give an existing folder$"):
        Sandbox("/no/such/folder", lambda path, process: None, lambda: None)
