"""Does a wrong key, name, version or file give one line, and leave the machine that waits alone?"""

import json
from pathlib import Path

import pytest

from cosim.errors import InputError
from cosim.remote import files, userfault
from launch.hosts import address_towards
from launch.outpost import Outpost, read_key
from launch.system import load
from tests.remote.two_hosts import RemoteRun

OTHER_RELEASE = """
from launch import cli, outpost
outpost.handshake_digest = lambda: "0" * 16
cli.main()
"""
NOBODY = "tcp://127.0.0.1:1"


def refused(node):
    """The one line that a `stramash node` which was not let in said."""
    assert node.wait(30) == 125, node.said
    (line,) = node.said.splitlines()
    assert line.startswith("stramash: ")
    return line


def write_key(path, **changes):
    key = {"server_key": "x" * 40, "token": "t", **changes}
    path.write_text(json.dumps(key))
    path.chmod(0o600)
    return path


def test_who_is_refused_does_the_machine_no_harm(hosts, tmp_path):
    with RemoteRun(hosts, tmp_path, "hello", "--on", "x86,arm") as remote:
        endpoint, path, _ = remote.invitations[0]
        key = json.loads(Path(path).read_text())
        assert Path(path).stat().st_mode & 0o777 == 0o600
        assert remote.near_folder.stat().st_mode & 0o777 == 0o700

        wrong = write_key(tmp_path / "wrong", token=key["token"])
        line = refused(remote.node(key_file=wrong))
        assert f"{endpoint}: refuses the key of {wrong}" in line

        stranger = write_key(tmp_path / "stranger", server_key=key["server_key"])
        assert "not the token of this run" in refused(remote.node(key_file=stranger))

        line = refused(remote.node(name="riscv", key_file=path))
        assert "no host 'riscv.host' is expected here" in line

        line = refused(remote.node(program=("-c", OTHER_RELEASE)))
        assert "install the same release for both" in line

        remote.nodes.clear()
        assert remote.finish()["machine.virtual_time_ns"] > 0


def test_a_key_that_others_may_read_is_refused(tmp_path):
    path = write_key(tmp_path / "key")
    path.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        read_key(str(path))


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"server_key": 1, "token": "t"}', "\0"])
def test_what_is_no_key_is_refused(tmp_path, text):
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(InputError, match="not a key file"):
        read_key(str(path))


@pytest.mark.parametrize("endpoint", ["", "10.0.0.1", "ipc:///tmp/x", "tcp://h", "tcp://h:1:2"])
def test_an_endpoint_that_is_none_is_refused(endpoint):
    with pytest.raises(InputError, match="tcp://HOST:PORT"):
        Outpost(endpoint, "key", "arm", print)


def test_a_host_without_userfaultfd_is_told_what_to_do(tmp_path, monkeypatch):
    def denied(_flags):
        raise PermissionError(1, "Operation not permitted")

    for name in ("_call", "_device"):
        monkeypatch.setattr(userfault, name, denied)
    with pytest.raises(InputError, match="Operation not permitted.*vm.unprivileged_userfaultfd=1"):
        Outpost(NOBODY, str(write_key(tmp_path / "key")), "arm", print)


@pytest.mark.parametrize("host", ["5", '""', '"a b"', '"-x"', '"tcp://10.0.0.2"'])
def test_a_host_that_is_none_is_refused(tmp_path, host):
    path = tmp_path / "machine.toml"
    path.write_text(f'[[node]]\nname = "x86"\nisa = "x86_64"\nhost = {host}\n')
    if host == '""':
        assert load(str(path)).hosts == {}
        return
    with pytest.raises(InputError, match="host = "):
        load(str(path))


def test_hosts_must_be_known_and_on_one_side():
    assert address_towards({"arm": "127.0.0.1"}) == "127.0.0.1"
    with pytest.raises(InputError, match="'arm': host 'no.such.host.invalid'"):
        address_towards({"arm": "no.such.host.invalid"})


def test_programs_travel_with_what_names_them(tmp_path):
    source = tmp_path / "a" / "prog"
    source.parent.mkdir()
    source.write_bytes(b"\x7fELF")
    given = {"path": str(source), "images": {"aarch64": str(source)}, "argv": [str(source)]}
    there = files.unpack(files.pack(given, [str(source)]), str(tmp_path / "b"))
    assert there["path"] == there["images"]["aarch64"] != str(source)
    assert Path(there["path"]).read_bytes() == b"\x7fELF" and there["argv"] == [str(source)]
    assert files.unpack(given, "") is given
    with (tmp_path / "large").open("wb") as large:
        large.truncate(files.BYTES_MAX + 1)
    with pytest.raises(InputError, match="at most"):
        files.pack({}, [str(tmp_path / "large")])
