"""Is a program built once, again when anything changed, and safely by several at a time?"""

import subprocess
import sys
import threading
import time

import pytest

from launch import multi_isa
from launch.multi_isa import store, toolchain
from launch.multi_isa.toolchain import ISAS


@pytest.fixture
def source(tmp_path):
    """A program with a header beside it."""
    (tmp_path / "value.h").write_text("#define VALUE 1\n")
    path = tmp_path / "p.c"
    path.write_text('#include "value.h"\nint value = VALUE;\nint main(void) { return value; }\n')
    return path


def test_the_second_build_compiles_nothing(source, monkeypatch):
    first = multi_isa.build(source)

    def refused(*arguments, **more):
        raise AssertionError(arguments)

    monkeypatch.setattr(subprocess, "run", refused)
    monkeypatch.setattr(subprocess, "Popen", refused)
    start = time.perf_counter()
    assert multi_isa.build(source) == first
    assert time.perf_counter() - start < 0.1
    only = multi_isa.build(source, ("riscv64",))
    assert only == {"riscv64": first["riscv64"]}


def test_a_change_is_never_missed(source):
    first = multi_isa.build(source)
    before = {path.read_bytes() for path in first.values()}
    (source.parent / "value.h").write_text("#define VALUE 2\n")
    second = multi_isa.build(source)
    assert not before & {path.read_bytes() for path in second.values()}
    (source.parent / "value.h").write_text("#define VALUE 1\n")
    assert {path.read_bytes() for path in multi_isa.build(source).values()} == before
    assert multi_isa.build(source, tuple(ISAS), ("-DVALUE_OF_NOTHING",)) != first


def test_a_build_is_the_same_bytes_anywhere(source, tmp_path):
    other = tmp_path / "another folder" / "p.c"
    other.parent.mkdir()
    text = "#include <assert.h>\nint main(int n, char **v) { assert(n && v); return 0; }\n"
    for path in (source, other):
        path.write_text(text)
    built = [multi_isa.build(path) for path in (source, other)]
    for isa in ISAS:
        data = built[0][isa].read_bytes()
        assert data == built[1][isa].read_bytes()
        assert str(tmp_path).encode() not in data
        assert str(toolchain.library_folder()).encode() not in data


def test_several_processes_may_build_at_once(source):
    code = (
        "import sys, pathlib; from launch import multi_isa;"
        "print(multi_isa.check_pair(multi_isa.build(pathlib.Path(sys.argv[1]))).digest.hex())"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(source)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    printed = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(set(printed)) == 1


def test_a_folder_is_made_once_and_wholly(tmp_path):
    made = []

    def make(fresh):
        made.append(fresh)
        time.sleep(0.05)
        (fresh / "file").write_text("whole")

    wanted = tmp_path / "below" / "wanted"
    threads = [
        threading.Thread(target=store.folder_made_once, args=(wanted, make)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and (wanted / "file").read_text() == "whole"


def test_what_a_failed_build_left_is_removed(tmp_path):
    def make(fresh):
        (fresh / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.folder_made_once(tmp_path / "wanted", make)
    assert {path.name for path in tmp_path.iterdir()} == {"wanted.lock"}
