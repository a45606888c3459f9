"""What the differential test needs to know of an ISA: encodings of a row, registers it should not
touch, how flags are written.
"""

import random

from cosim import isa as isas
from cosim.engine.native.table import Row

MOST_LEFT = 0.9  # faults, alignment and NaN corners fall back: many of the operands drawn are such


def word_example(isa: str):
    """For instruction sets of 32-bit words: fields of the pattern at random."""

    def example(row: Row, draw: random.Random) -> bytes | None:
        decoder = isas.find(isa).instructions.DECODER
        pattern = decoder.patterns[row.name]
        for _ in range(200):
            word = pattern.value | draw.getrandbits(32) & ~pattern.mask
            found = decoder.decode(word)
            if found is not None and found.row is row:
                return word.to_bytes(4, "little")
        return None

    return example


def x86_example(row: Row, draw: random.Random) -> bytes | None:
    """Prefixes, opcode and operands of an x86-64 pattern at random; no rsp in operands."""
    decoder = isas.find("x86_64").instructions.DECODER
    pattern = decoder.patterns[row.name]
    for _ in range(400):
        code = bytearray()
        if pattern.mandatory is None and draw.randrange(4) == 0 or pattern.mandatory == 0x66:
            code.append(0x66)
        if pattern.mandatory in (0xF2, 0xF3):
            code.append(pattern.mandatory)
        if pattern.lock and draw.randrange(4) == 0:
            code.append(0xF0)
        if draw.randrange(8) == 0:
            code.append(0x64)
        if draw.randrange(3) or pattern.w64:
            code.append(0x40 | draw.getrandbits(4) | (8 if pattern.w64 else 0))
        code += bytes.fromhex(pattern.map)
        code.append(pattern.value | draw.getrandbits(8) & ~pattern.mask)
        if pattern.modrm:
            number = int(pattern.modrm) if pattern.modrm.isdigit() else draw.getrandbits(3)
            mode = {"m": draw.randrange(3), "r": 3}.get(pattern.only, draw.randrange(4))
            code += bytes([mode << 6 | number << 3 | draw.getrandbits(3)])
        code += bytes([draw.getrandbits(8)])  # SIB, or part of what follows
        code += draw.choice((draw.getrandbits(8), 0x1_0000, -32, 0x1234)).to_bytes(
            4, "little", signed=True
        )
        code += draw.randbytes(8)
        found = decoder.decode(bytes(code), 0)
        if found is None or found.row is not row or _awkward(found):
            continue
        return bytes(code[: found.length])
    return None


def _awkward(found) -> bool:
    """Addresses near the code cannot be accessed; a stack pointer must point to the stack."""
    fields, constants = found.fields, dict(found.constants)
    if constants.get("A") == 2:
        return True
    return abs(fields.get("disp", 0)) > 0x2_0000 or fields.get("base") == 20


def x86_addresses(instruction) -> dict[str, bool]:
    """The same for x86-64; the stack and what string instructions use."""
    names = isas.find("x86_64").registers.BY_NUMBER
    found = {"rsp": False, "fs_base": True}
    if instruction.row.name in ("leave",):
        found["rbp"] = False
    if (
        "movs" in instruction.row.name
        or "stos" in instruction.row.name
        or "lods" in instruction.row.name
    ):
        found |= {"rsi": False, "rdi": False}
    if "index" in instruction.fields:
        found[names[instruction.fields["index"]]] = True
    if "base" in instruction.fields:
        found[names[instruction.fields["base"]]] = False
    return found


def arm_addresses(instruction) -> dict[str, bool]:
    """Register names -> is it an offset?  The base, and the offset register of loads and stores."""
    found = {}
    n = instruction.fields.get("n")
    if n is not None:
        found["sp" if n == 31 else f"x{n}"] = False
    m = instruction.fields.get("m")
    if m not in (None, 31, n) and instruction.row in isas.find("aarch64").instructions.MEMORY_ROWS:
        found[f"x{m}"] = True
    return found


def arm_example(row: Row, draw: random.Random) -> bytes | None:
    """A store exclusive comes behind a load exclusive, mostly of the same address."""
    code = word_example("aarch64")(row, draw)
    if row.name != "store_exclusive" or code is None:
        return code
    word = int.from_bytes(code, "little")
    base = word >> 5 & 31 if draw.randrange(4) else draw.randrange(31)
    unused = next(r for r in range(31) if r not in (base, word & 31, word >> 5 & 31))
    load = word & 3 << 30 | 0x085F7C00 | base << 5 | unused
    return load.to_bytes(4, "little") + code


def riscv_word(row: Row, draw: random.Random) -> bytes | None:
    """Fields of a pattern of 32 or 16 bits at random."""
    decoder = isas.find("riscv64").instructions.DECODER
    shape = decoder.shapes[row.name]
    ones = (1 << shape.bits) - 1
    for _ in range(400):
        word = shape.pattern.value | draw.getrandbits(shape.bits) & ~shape.pattern.mask & ones
        code = word.to_bytes(shape.bits // 8, "little")
        found = decoder.match(code)
        if found is not None and found[0].row is row:
            return code
    return None


def riscv_example(row: Row, draw: random.Random) -> bytes | None:
    """A store conditional comes behind a load reserved, mostly of the same address and size."""
    code = riscv_word(row, draw)
    if not row.name.startswith("sc_") or code is None:
        return code
    word = int.from_bytes(code, "little")
    sources = (word >> 15 & 31, word >> 20 & 31)
    base = sources[0] if draw.randrange(4) else draw.randrange(32)
    unused = next(r for r in range(5, 32) if r not in (base, *sources))
    size = word & 7 << 12 if draw.randrange(8) else 3 << 12
    load = 0b00010 << 27 | base << 15 | size | unused << 7 | 0b0101111
    return load.to_bytes(4, "little") + code


def riscv_addresses(instruction) -> dict[str, bool]:
    """The base of loads, stores and atomics."""
    tables = isas.find("riscv64")
    if instruction.row not in tables.instructions.MEMORY_ROWS:
        return {}
    name = tables.registers.BY_NUMBER[instruction.fields["n"]]
    return {} if name is None else {name: False}


EXAMPLES = {"aarch64": arm_example, "x86_64": x86_example, "riscv64": riscv_example}
ADDRESSES = {"aarch64": arm_addresses, "x86_64": x86_addresses, "riscv64": riscv_addresses}
KEPT = {
    "aarch64": {"pc", "fpcr", "tpidr_el0", "nzcv"},
    "x86_64": {
        "rip", "rflags", "gs_base", "mxcsr", "fpsw", "fptag", *(f"st{i}" for i in range(8)),
    },
    "riscv64": {"pc", "fcsr"},
}  # fmt: skip
# Values of what flags there are: sticky ones of floating point on RISC-V.
FLAGS = {
    "aarch64": lambda draw: {"flags": draw.getrandbits(4) << 28},
    "x86_64": lambda draw: {"flags": 0x202 | draw.getrandbits(12) & 0x8D5},
    "riscv64": lambda draw: {"fcsr": draw.getrandbits(5) | (draw.randrange(16) == 0) << 5},
}
# Registers of 64 bits that hold floating-point numbers.
NUMBERS = {"riscv64": {f"f{i}" for i in range(32)}}
