"""Does one source do the same on every instruction set, with everything at one address?"""

import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from launch import build, multi_isa
from launch.multi_isa import checks, libc, toolchain
from launch.multi_isa.toolchain import ISAS

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="module")
def proof():
    """The ELFs of proof.c."""
    return multi_isa.build(PROGRAMS / "proof.c", tuple(ISAS), ("-Wall", "-Wextra", "-Werror"))


def emulated(isa, path, *arguments):
    """(exit status, stdout) of a program under a user-mode emulator."""
    emulator = shutil.which(ISAS[isa].QEMU)
    if emulator is None:
        pytest.skip(f"{ISAS[isa].QEMU} is missing: install qemu-user")
    command = [emulator, str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert not done.stderr
    return done.returncode, done.stdout


def opened(paths):
    """ISA -> ELF, wholly in memory."""
    return {isa: ELFFile(io.BytesIO(path.read_bytes())) for isa, path in paths.items()}


@pytest.mark.needs_qemu
@pytest.mark.parametrize("isa", ISAS)
def test_the_proof_runs_the_same_everywhere(proof, isa):
    assert emulated(isa, proof[isa], "last") == (3, (PROGRAMS / "proof.txt").read_text())


@pytest.mark.needs_qemu
@pytest.mark.parametrize("level", ["-O0", "-O1", "-O3", "-Os"])
def test_every_optimisation_level_aligns_and_runs(level):
    paths = multi_isa.build(PROGRAMS / "proof.c", tuple(ISAS), (level,))
    ran = {isa: emulated(isa, path, "last")[0] for isa, path in paths.items()}
    assert set(ran.values()) == {3}


def test_every_name_has_one_address(proof):
    tables = {isa: checks.symbols(elf) for isa, elf in opened(proof).items()}
    shared = set.intersection(*(set(table) for table in tables.values()))
    own = {name for file, name, _ in shared if file == "proof.c"}
    assert {
        "counted",
        "sums",
        "line",
        "operations",
        "chosen",
        "next.calls",
        "other_next.calls",
    } <= own
    assert {"main", "printf", "malloc", "qsort", "mig_entry"} <= {name for _, name, _ in shared}
    assert len(shared) >= 150
    for key in shared:
        assert len({table[key] for table in tables.values()}) == 1, key


def test_what_is_shared_is_the_same_bytes(proof):
    for name in (".data", ".tdata", ".stramash.layout"):
        found = {
            (section["sh_addr"], section["sh_size"], section.data())
            for elf in opened(proof).values()
            if (section := elf.get_section_by_name(name))
        }
        assert len(found) == 1, name
        assert found.pop()[1] > 0
    places = {
        (elf.get_section_by_name(".bss")["sh_addr"], elf.get_section_by_name(".bss")["sh_size"])
        for elf in opened(proof).values()
    }
    assert len(places) == 1


def test_thread_local_storage_has_one_image(proof):
    segments = {
        tuple(next(elf.iter_segments("PT_TLS"))[field] for field in
              ("p_vaddr", "p_filesz", "p_memsz", "p_align"))
        for elf in opened(proof).values()
    }  # fmt: skip
    assert len(segments) == 1
    assert segments.pop()[3] == 64


def test_constants_of_one_isa_do_not_move_the_others(tmp_path):
    source = tmp_path / "shift.c"
    source.write_text(
        "#include <stdio.h>\n#ifdef __aarch64__\n"
        'static const char *isa(void) { return "a long name that the others lack"; }\n'
        '#else\nstatic const char *isa(void) { return ""; }\n#endif\n'
        'const char *names[] = {"get-away", "set-home", "mul"};\n'
        'int main(int n, char **v) { puts(isa()); puts("after"); return puts(names[n]) < 0; }\n'
    )
    found = set()
    for elf in opened(multi_isa.build(source)).values():
        table = checks.symbols(elf)
        address = next(value for (_, name, _), value in table.items() if name == "names")
        data = elf.get_section_by_name(".data")
        words = data.data()[address - data["sh_addr"] :][:24]
        texts = tuple(
            text_at(elf, int.from_bytes(words[at : at + 8], "little")) for at in (0, 8, 16)
        )
        found.add((words, texts))
    assert len(found) == 1
    assert found.pop()[1] == (b"get-away", b"set-home", b"mul")


def text_at(elf, address):
    """The string at an address of the constants."""
    section = elf.get_section_by_name(".rodata")
    return section.data()[address - section["sh_addr"] :].split(b"\0")[0]


def test_shared_types_have_one_size():
    library = libc.folder(tuple(ISAS))
    found = {}
    for isa in ISAS:
        headers = ["-isystem", str(library / libc.INCLUDE), *toolchain.system_headers(isa)]
        ir = toolchain.compile_ir(PROGRAMS / "types.c", isa, "types.c", headers)
        found[isa] = dict(re.findall(r"^@(\w+) = .*constant i64 (\d+)", ir, re.MULTILINE))
    names = set(found["x86_64"])
    assert len(names) >= 50
    for name in names:
        values = {values[name] for values in found.values()}
        assert (len(values) > 1) == name.startswith("differs_"), (name, values)


@pytest.mark.parametrize("guest", build.bundled())
def test_every_bundled_guest_can_be_built_for_all(guest):
    paths = multi_isa.build(build.find(guest))
    for isa, path in paths.items():
        assert build.machine_of(path) == ISAS[isa].ELF_MACHINE
    assert multi_isa.check_pair(paths).entry
