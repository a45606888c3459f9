"""Is a wrong instruction found: in a program at the instruction itself, by fuzzing in a sequence
that is small and comes again, and nowhere else?
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from cosim import isa as isas
from cosim.engine.interface import UNLIMITED, Reason
from cosim.engine.native import bisection, stencils
from cosim.engine.native.examples import parts
from cosim.errors import EnginesDiffer
from cosim.units import PAGE_BYTES
from launch import Machine
from launch.cli import execute
from launch.differential import sequences
from launch.differential.fuzzing import Fuzzer
from tests.conventions.sources import ROOT
from tests.engine.assembly import assemble
from tests.engine.bare import READ_WRITE, Bare

NODES = {"x86_64": "x86", "aarch64": "arm", "riscv64": "riscv"}
TOTAL = {"x86_64": "rax", "aarch64": "x0", "riscv64": "a0"}
# Adds one 1,000 times and stores the sum; the first addition is instruction number FIRST.
LOOPS = {
    "x86_64": "xor eax, eax; mov ecx, 1000; 1: add rax, 1; mov [rsp], rax; sub ecx, 1; jnz 1b; "
    "syscall",
    "aarch64": "mov x0, #0; mov x1, #1000; 1: add x0, x0, #1; str x0, [sp]; sub w1, w1, #1; "
    "cbnz w1, 1b; svc #0",
    "riscv64": ".option norvc; li a0, 0; li a1, 1000; 1: addi a0, a0, 1; sd a0, 0(sp); "
    "addiw a1, a1, -1; bnez a1, 1b; ecall",
}
FIRST, TURN = 3, 4
UNMAPPED = 0x5000_0000
WRONG = 777  # a sum that the planted fault does not give


def loop(isa: str) -> bytes:
    return assemble(isa, {"loop": LOOPS[isa].replace("; ", "\n")})["loop"]


def addition(isa: str) -> str:
    """Form of the addition."""
    code = loop(isa)
    decode = isas.find(isa).instructions.decode
    at, found = 0, []
    while len(found) < FIRST:
        found.append(decode(code[at : at + 15], at))
        at += found[-1].length
    return found[-1].row.name


@pytest.fixture
def plant(monkeypatch, tmp_path):
    """plant(isa, form, register, condition): wherever `condition` of the register holds after an
    instruction of this form, one more is added to it."""
    for path in stencils.cache_root().glob("stencils-*.sqlite"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(stencils, "cache_root", lambda: tmp_path)

    def planted(isa, form, register, condition):
        module = isas.find(isa).instructions
        decode, made = module.decode, {}

        def wrong(row):
            def semantics(e, f):
                row.semantics(e, f)
                value = e.get(register)
                e.set(register, condition(value).select(value + 1, value))

            return replace(row, name=f"{row.name}_planted", semantics=semantics)

        def decoded(code, pc):
            found = decode(code, pc)
            if found is None or found.row.name != form:
                return found
            row = made.setdefault(form, wrong(found.row))
            again = replace(found, row=row)
            return again

        monkeypatch.setattr(module, "decode", decoded)

    return planted


@pytest.mark.parametrize("every", [7, 100_000])
@pytest.mark.parametrize("isa", LOOPS)
def test_a_wrong_instruction_is_found_in_a_program(plant, isa, every):
    form, register = addition(isa), TOTAL[isa]
    plant(isa, form, register, lambda value: value.eq(WRONG))
    bare = Bare(isa, engine="checked", check_every=every)
    bare.program(loop(isa))
    bare.writer.inline = True
    with pytest.raises(EnginesDiffer) as caught:
        bare.run()
    error = caught.value
    assert error.instruction == FIRST + TURN * (WRONG - 1)
    assert error.form == f"{form}_planted"
    (difference,) = error.differences
    assert (difference.name, difference.unicorn, difference.native) == (
        register, hex(WRONG), hex(WRONG + 1)
    )  # fmt: skip
    assert re.search(
        rf"^{isa} core 0: the engines differ at instruction \d+, pc 0x4000", str(error)
    )


@pytest.mark.parametrize("isa", LOOPS)
def test_a_right_program_is_compared_whole(isa):
    ends = []
    for engine in ("unicorn", "checked"):
        bare = Bare(isa, engine=engine, check_every=100)
        bare.program(loop(isa))
        bare.writer.inline = True
        assert bare.run(331).reason == Reason.SYSTEM_CALL
        bare.writer.settle()
        ends.append((bare.engine.register_words(), bare.memory.stream_hash))
    assert ends[0] == ends[1]
    assert bare.engine.compared == bare.engine.instructions > 4000
    assert bare.engine.unchecked == 0


PAGES, STORES = 4500, 40_000  # more than is kept, more than the oracle's ring has room for


def test_a_stretch_ends_when_there_is_no_room_for_what_it_does():
    """A store to one page after the other, round and round."""
    source = f"""
        mov r8, {STORES}
    2:  mov ecx, {PAGES}
        mov rdi, {UNMAPPED:#x}
    1:  mov [rdi], r8
        add rdi, 4096
        sub r8, 1
        jz 3f
        sub ecx, 1
        jnz 1b
        jmp 2b
    3:  syscall"""
    ends = []
    for engine in ("unicorn", "checked"):
        bare = Bare("x86_64", engine=engine, check_every=1_000_000)
        bare.program(assemble("x86_64", {"stores": source})["stores"])
        bare.map_range(UNMAPPED, PAGES * PAGE_BYTES, READ_WRITE)
        bare.writer.inline = True
        assert bare.run().reason == Reason.SYSTEM_CALL
        bare.writer.settle()
        content = bare.physical.tobytes()
        ends.append((bare.engine.register_words(), bare.memory.stream_hash, hash(content)))
    assert ends[0] == ends[1]
    assert bare.engine.compared == bare.engine.instructions
    assert bare.engine.stretches >= STORES // PAGES


@pytest.mark.parametrize("isa", LOOPS)
def test_fuzzing_finds_a_wrong_instruction_and_makes_it_small(plant, monkeypatch, isa):
    form, register = addition(isa), TOTAL[isa]
    rows = sequences.rows_of(isas.find(isa))
    chosen = [row for row in rows if row.name == form]
    chosen += random.Random(isa).sample([r for r in rows if r.name != form and not r.ends], 5)
    monkeypatch.setattr(sequences, "rows_of", lambda isa: chosen)
    plant(isa, form, register, lambda value: (value & 1).eq(1))

    def found(numbers):
        tried = [tried.finding for tried in Fuzzer(isa, 5, 12).run(numbers)]
        return [finding.as_dict() for finding in tried if finding is not None]

    first = found(range(10))
    assert first, "not found"
    for finding in first:
        assert finding["form"] == f"{form}_planted"
        assert len(finding["instructions"]) == 1 and len(finding["registers"]) <= 3
        assert [one["name"] for one in finding["differences"]][0] == register
    again = found(range(first[0]["sequence"], first[0]["sequence"] + 1))
    assert again == first[:1], "another one with the same seed"


def test_sequences_are_those_of_their_seed():
    made = [sequences.Maker("riscv64").make(3, number, 30) for number in (0, 1, 0)]
    assert made[0] == made[2] != made[1]
    assert made[0].instructions > 15


@pytest.mark.parametrize("isa", LOOPS)
def test_fuzzing_finds_nothing_where_nothing_is_wrong(isa, capsys):
    command = ["fuzz", "--isa", isa, "--sequences", "4", "--length", "8", "--json"]
    assert execute(command) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["findings"] == []
    assert answer["compared"] > 2 * answer["instructions"] > 0


@pytest.mark.parametrize(("isa", "node"), NODES.items())
def test_a_machine_of_checked_engines_is_the_same_machine(isa, node, capsys, tmp_path):
    command = ["verify", "hello", "--machine", str(machine(tmp_path, isa, node)), "--json"]
    assert execute([*command, "--every", "2000", "--out", str(tmp_path / "out")]) == 0
    answer = json.loads(capsys.readouterr().out)
    with Machine(nodes=[node], settings={"engine": "unicorn"}) as reference:
        run = reference.run("hello")
    assert answer["digest"] == run.digest
    (core,) = answer["cores"]
    assert (
        core["compared"] == core["executed"] == run.statistics[f"{core['core']}.instructions_user"]
    )
    assert core["by_unicorn"] < core["executed"] // 10


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("verify", "hello", "--set", "engine=native"), "verify: sets engine itself"),
        (("verify", "hello", "--every", "9", "--set", "engine.check_every=8"), "--every is --set"),
        (("fuzz", "--isa", "x86"), "unknown instruction set 'x86'"),
    ],
)
def test_what_cannot_be_compared_is_said(words, said, capsys):
    assert execute(words) == 125
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def machine(folder, isa: str, node: str):
    """File of a machine with one node."""
    path = folder / "machine.toml"
    path.write_text(f'[[node]]\nname = "{node}"\nisa = "{isa}"\n')
    return path


# What Unicorn itself does wrong is not reported; each makes it do so.
AT_PAGE_END = 0x40_1000
FLAGS_LOST = f"mov rsi, {UNMAPPED:#x}; mov eax, 5; cmp eax, 9; mov rbx, [rsi]; ud2"
STORES_TO_ITSELF = (
    "lea rdi, [rip + 1f]; xor eax, eax; mov ecx, 3; 2: mov dword ptr [rdi + 1], ecx; "
    "1: add eax, 0x11111111; dec ecx; jne 2b; ud2"
)


def checked(source: str, at: int = 0x40_0000) -> Bare:
    bare = Bare("x86_64", engine="checked", check_every=1000)
    bare.program(assemble("x86_64", {"own": source.replace("; ", "\n")})["own"], at)
    bare.writer.inline = True
    return bare


def test_flags_before_a_fault_are_not_mistaken():
    bare = checked(FLAGS_LOST)
    assert bare.run().reason == Reason.PAGE_FAULT
    assert bare.engine.read("rflags") & 1, "below"
    bare.map(UNMAPPED, READ_WRITE)
    bare.engine.flush_tlb()
    assert bare.run().reason == Reason.ILLEGAL


def test_code_that_stores_into_its_own_block_is_not_mistaken():
    bare = checked(STORES_TO_ITSELF)
    bare.run()
    assert bare.engine.read("rax") == 3 + 2 + 1


@pytest.mark.parametrize("additions", [1, 5])
def test_a_block_before_a_missing_page_is_not_mistaken(additions):
    """The last instruction begins in this page and ends in the next, which is not there; of two
    blocks the second is the one that reaches it.
    """
    lines = ["xor eax, eax", "jmp 1f", "1:", *["add rax, 1"] * additions, "add rax, 0x11223344"]
    code = assemble("x86_64", {"end": "\n".join(lines)})["end"]
    first = len(code) - 3
    bare = Bare("x86_64", engine="checked", check_every=1000)
    bare.map_range(AT_PAGE_END - 4096, 4096)
    bare.write(AT_PAGE_END - first, code[:first])
    bare.start(AT_PAGE_END - first, 0x40_0800)
    bare.writer.inline = True
    stop = bare.run()
    assert (stop.reason, stop.address) == (Reason.PAGE_FAULT, AT_PAGE_END)
    assert bare.engine.read("rax") == additions
    assert bare.engine.instructions == bare.engine.compared == 2 + additions


def test_a_limit_just_before_a_fault_is_not_mistaken():
    """The clock ends the native engine's run where Unicorn, which knows no prices, goes on."""
    bare = checked(f"mov rsi, {UNMAPPED:#x}; mov eax, 5; push rax; add eax, 9; mov rbx, [rsi]; ud2")
    reasons = []
    for cycles in range(40):
        stop = bare.engine.run(
            instruction_limit=UNLIMITED, record_limit=UNLIMITED, cycle_limit=cycles
        )
        reasons.append(stop.reason)
    assert reasons[0] == Reason.LIMIT and reasons[-1] == Reason.PAGE_FAULT
    assert bare.engine.instructions == bare.engine.compared == 4


def test_bisection_asks_as_seldom_as_it_can():
    asked = []

    def differs(count):
        asked.append(count)
        return ["x"] if count >= 700 else []

    assert bisection.first(differs, 1000) == (700, ["x"])
    assert len(asked) <= 12
    assert bisection.first(lambda count: [], 1000) is None


def test_an_example_of_every_row_decodes_to_it():
    for isa in map(isas.find, LOOPS):
        for row in isa.instructions.ROWS:
            draw = random.Random(row.name)
            code = isa.examples.example(row, draw)
            assert code is not None, f"{isa.name} {row.name}"
            assert parts(isa.instructions.decode, code)[-1].length > 0


# An instruction set like RISC-V's whose rows have a fault, and a program that meets it once.
FAULTY = {
    "isa_faulty/__init__.py": """
from dataclasses import replace
from isa_riscv import ISA as BASE

ISA = replace(BASE, name="faulty64", node_name="faulty", package="isa_faulty", variant=3,
              base=BASE.package)
""",
    "isa_faulty/instructions.py": f"""
from dataclasses import replace
from isa_riscv.instructions import *
from isa_riscv.instructions import exclusive
from isa_riscv import instructions as right
from isa_riscv.instructions.layout import set_x, x

def _wrong(e, f):
    FORM.semantics(e, f)
    value = x(e, "d")
    set_x(e, "d", value.eq({0x1234_5678}).select(value + 1, value))

FORM = next(row for row in ROWS if row.name == "addi")
WRONG = replace(FORM, name="addi_wrong", semantics=_wrong)

def decode(code, pc):
    found = right.decode(code, pc)
    return replace(found, row=WRONG) if found is not None and found.row is FORM else found
""",
    "isa_faulty-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: isa-faulty\nVersion: 1.0\n",
    "isa_faulty-1.0.dist-info/entry_points.txt": "[stramash.isa]\nfaulty64 = isa_faulty:ISA\n",
}
PROGRAM = """
#include <stdio.h>
int main(void)
{
    long sum = 0x12345600;
    for (long i = 0; i < 1000; i++)
        __asm__ volatile("addi %0, %0, 8" : "+r"(sum));
    printf("%lx\\n", sum);
    return 3;
}
"""


@pytest.fixture
def stramash(tmp_path):
    """Runs the command line where the faulty instruction set is installed."""
    for name, text in FAULTY.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    (tmp_path / "program.c").write_text(PROGRAM)
    machine(tmp_path, "faulty64", "faulty")
    path = os.pathsep.join((str(tmp_path / "site"), str(ROOT)))

    def run(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "launch.cli", *words]
        return subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True,
            text=True, timeout=250,
        )  # fmt: skip

    return run


def test_a_whole_program_is_verified_up_to_the_wrong_instruction(stramash):
    where = ("--machine", "machine.toml")

    def found(done):
        (line,) = done.stderr.splitlines()
        return line.partition("; statistics so far")[0]

    done = stramash("verify", "program.c", *where, "--every", "3000", "--quiet")
    assert done.returncode == 1, done.stderr
    line = found(done)
    assert re.search(
        r"faulty64 core 0: the engines differ at instruction \d+, pc 0x[0-9a-f]+, addi_wrong"
        r" \([0-9a-f]+\); \w+: unicorn 0x12345678, native 0x12345679",
        line,
    ), line
    assert found(stramash("verify", "program.c", *where, "-q", "--every", "999")) == line
