"""Random examples of x86-64 rows: see cosim.engine.native.examples."""

from cosim.engine.native.examples import TRIES, Draw
from cosim.engine.native.state import HOST_ROUNDING_SHIFT
from cosim.engine.native.table import Instruction, Row
from isa_x86 import instructions, registers
from isa_x86.instructions.layout import ABSOLUTE, NO_REGISTER

KEPT = frozenset({
    "rip", "rflags", "gs_base", "mxcsr", "fpsw", "fptag", *(f"st{i}" for i in range(8)),
})  # fmt: skip
NUMBERS: frozenset[str] = frozenset()
OFFSETS = frozenset({"fs_base"})
# What the reference makes of undefined flags depends on where its own blocks end.
UNDEFINED = "leaves flags undefined"
LEFT_OUT = dict.fromkeys(("bt", "bt_immediate", "div", "idiv", "mul", "imul"), UNDEFINED)
STRINGS = ("movs", "stos", "lods")
ARITHMETIC_FLAGS, ALWAYS_SET = 0x8D5, 0x202
X87_CONDITIONS = 0x4700  # C0 to C3 of the status word
NEAR_BYTES = 0x2_0000  # larger displacements leave the data


def example(row: Row, draw: Draw) -> bytes | None:
    """Prefixes, opcode and operands of the pattern at random; no rsp in operands."""
    pattern = instructions.DECODER.patterns[row.name]
    for _ in range(2 * TRIES):
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
        found = instructions.DECODER.decode(bytes(code), 0)
        if found is None or found.row is not row or _awkward(found):
            continue
        wanted = bytes(code[: found.length])
        return behind_store(wanted, draw) if row.name == "ldmxcsr" else wanted
    return None


def behind_store(load: bytes, draw: Draw) -> bytes:
    """An ldmxcsr comes behind an stmxcsr, mostly: what else it loads changes more than flags."""
    stored = bytearray(load)
    stored[load.index(b"\x0f\xae") + 2] |= 1 << 3  # /2 -> /3
    return bytes(stored) + load if draw.randrange(4) else load


def _awkward(found: Instruction) -> bool:
    """Addresses near the code cannot be accessed; a stack pointer must point to the stack."""
    fields, constants = found.fields, dict(found.constants)
    if constants.get("A") == ABSOLUTE:
        return True
    return abs(fields.get("disp", 0)) > NEAR_BYTES or fields.get("base") == NO_REGISTER


def addresses(instruction: Instruction) -> dict[str, bool]:
    """Base and index, the stack, and what string instructions use."""
    names = registers.BY_NUMBER
    found = {"rsp": False, "fs_base": True}
    if instruction.row.name == "leave":
        found["rbp"] = False
    if any(name in instruction.row.name for name in STRINGS):
        found |= {"rsi": False, "rdi": False}
    if "index" in instruction.fields:
        found[names[instruction.fields["index"]]] = True
    if "base" in instruction.fields:
        found[names[instruction.fields["base"]]] = False
    return found


def flags(draw: Draw) -> dict[str, int]:
    """C, P, A, Z, S and O, those of x87, and seldom another rounding mode."""
    mode = draw.getrandbits(2) if draw.randrange(4) == 0 else 0
    return {
        "rflags": ALWAYS_SET | draw.getrandbits(12) & ARITHMETIC_FLAGS,
        "mxcsr": instructions.MXCSR_DEFAULT | mode << HOST_ROUNDING_SHIFT,
        "fpsw": draw.getrandbits(16) & X87_CONDITIONS,
    }
