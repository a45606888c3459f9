"""Compressed instructions of RISC-V: what each expands to.

Source: 20191213, chapter 16, tables 16.5 to 16.7.  What the manual reserves, and a shift by nothing, which Unicorn refuses, has no row.
"""

from collections.abc import Callable, Mapping

from isa_riscv.instructions import branches, integer, memory
from isa_riscv.instructions.decoder import compressed

BASE = {row.name: row for row in (*integer.ROWS, *memory.ROWS, *branches.ROWS)}
RA, SP = 1, 2
ANY = None
Condition = Callable[[Mapping[str, int]], bool] | None


def not_zero(letter: str):
    """The register is not x0."""
    return lambda fields: fields[letter] != 0


LOADS, JUMPS, INTEGER = "16.3", "16.4", "16.5"
DOUBLES, SINGLES = "uimm[5:3|7:6]", "uimm[5:3|2|6]"  # offsets in units of 8 and 4 bytes

# name, pattern, section, expands to, immediate, condition, implied fields
FORMS: tuple[tuple[str, str, str, str, str, Condition, dict[str, int | str]], ...] = (
    ("c_addi4spn", "000 iiiiiiii ddd 00",     INTEGER, "addi",  "nzuimm[5:4|9:6|2|3]", ANY, {"n": SP}),
    ("c_fld",      "001 iii nnn ii ddd 00",   LOADS,   "fld",   DOUBLES, ANY, {}),
    ("c_lw",       "010 iii nnn ii ddd 00",   LOADS,   "lw",    SINGLES, ANY, {}),
    ("c_ld",       "011 iii nnn ii ddd 00",   LOADS,   "ld",    DOUBLES, ANY, {}),
    ("c_fsd",      "101 iii nnn ii mmm 00",   LOADS,   "fsd",   DOUBLES, ANY, {}),
    ("c_sw",       "110 iii nnn ii mmm 00",   LOADS,   "sw",    SINGLES, ANY, {}),
    ("c_sd",       "111 iii nnn ii mmm 00",   LOADS,   "sd",    DOUBLES, ANY, {}),
    ("c_addi",     "000 i ddddd iiiii 01",    INTEGER, "addi",  "imm[5|4:0]", ANY, {"n": "d"}),
    ("c_addiw",    "001 i ddddd iiiii 01",    INTEGER, "addiw", "imm[5|4:0]", not_zero("d"), {"n": "d"}),
    ("c_li",       "010 i ddddd iiiii 01",    INTEGER, "li",    "imm[5|4:0]", ANY, {}),
    ("c_addi16sp", "011 i 00010 iiiii 01",    INTEGER, "addi",  "nzimm[9|4|6|8:7|5]", ANY, {"n": SP, "d": SP}),
    ("c_lui",      "011 i ddddd iiiii 01",    INTEGER, "lui",   "nzimm[17|16:12]", ANY, {}),
    ("c_srli",     "100 i 00 ddd iiiii 01",   INTEGER, "srli",  "nzuimm[5|4:0]", ANY, {"n": "d"}),
    ("c_srai",     "100 i 01 ddd iiiii 01",   INTEGER, "srai",  "nzuimm[5|4:0]", ANY, {"n": "d"}),
    ("c_andi",     "100 i 10 ddd iiiii 01",   INTEGER, "andi",  "imm[5|4:0]", ANY, {"n": "d"}),
    ("c_sub",      "100 0 11 ddd 00 mmm 01",  INTEGER, "sub",   "", ANY, {"n": "d"}),
    ("c_xor",      "100 0 11 ddd 01 mmm 01",  INTEGER, "xor",   "", ANY, {"n": "d"}),
    ("c_or",       "100 0 11 ddd 10 mmm 01",  INTEGER, "or",    "", ANY, {"n": "d"}),
    ("c_and",      "100 0 11 ddd 11 mmm 01",  INTEGER, "and",   "", ANY, {"n": "d"}),
    ("c_subw",     "100 1 11 ddd 00 mmm 01",  INTEGER, "subw",  "", ANY, {"n": "d"}),
    ("c_addw",     "100 1 11 ddd 01 mmm 01",  INTEGER, "addw",  "", ANY, {"n": "d"}),
    ("c_j",        "101 iiiiiiiiiii 01",      JUMPS,   "j",     "imm[11|4|9:8|10|6|7|3:1|5]", ANY, {}),
    ("c_beqz",     "110 iii nnn iiiii 01",    JUMPS,   "beq",   "imm[8|4:3|7:6|2:1|5]", ANY, {"m": 0}),
    ("c_bnez",     "111 iii nnn iiiii 01",    JUMPS,   "bne",   "imm[8|4:3|7:6|2:1|5]", ANY, {"m": 0}),
    ("c_slli",     "000 i ddddd iiiii 10",    INTEGER, "slli",  "nzuimm[5|4:0]", ANY, {"n": "d"}),
    ("c_fldsp",    "001 i ddddd iiiii 10",    LOADS,   "fld",   "uimm[5|4:3|8:6]", ANY, {"n": SP}),
    ("c_lwsp",     "010 i ddddd iiiii 10",    LOADS,   "lw",    "uimm[5|4:2|7:6]", not_zero("d"), {"n": SP}),
    ("c_ldsp",     "011 i ddddd iiiii 10",    LOADS,   "ld",    "uimm[5|4:3|8:6]", not_zero("d"), {"n": SP}),
    ("c_jr",       "100 0 nnnnn 00000 10",    JUMPS,   "jr",    "", not_zero("n"), {"i": 0}),
    ("c_mv",       "100 0 ddddd mmmmm 10",    INTEGER, "mv",    "", not_zero("m"), {"n": "m"}),
    ("c_jalr",     "100 1 nnnnn 00000 10",    JUMPS,   "jalr",  "", not_zero("n"), {"d": RA, "i": 0}),
    ("c_add",      "100 1 ddddd mmmmm 10",    INTEGER, "add",   "", not_zero("m"), {"n": "d"}),
    ("c_fsdsp",    "101 iiiiii mmmmm 10",     LOADS,   "fsd",   "uimm[5:3|8:6]", ANY, {"n": SP}),
    ("c_swsp",     "110 iiiiii mmmmm 10",     LOADS,   "sw",    "uimm[5:2|7:6]", ANY, {"n": SP}),
    ("c_sdsp",     "111 iiiiii mmmmm 10",     LOADS,   "sd",    "uimm[5:3|8:6]", ANY, {"n": SP}),
)  # fmt: skip

ROWS = tuple(
    compressed(name, pattern, section, BASE[base], immediate, where, **implied)
    for name, pattern, section, base, immediate, where, implied in FORMS
)
