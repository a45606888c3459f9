"""The few host instructions that are written by hand: entries of blocks and their exits."""

import struct
from typing import Any

# Host code written by hand; every memory operand is [r12 + disp32].
COMPARE_WORD = b"\x41\x81\xbc\x24"  # cmp dword [..], imm32
SET_WORD = b"\x41\xc7\x84\x24"  # mov dword [..], imm32
COMPARE_LONG = b"\x49\x83\xbc\x24"  # cmp qword [..], imm8
LOAD_EAX, STORE_EAX, STORE_R14 = b"\x41\x8b\x84\x24", b"\x41\x89\x84\x24", b"\x4d\x89\xb4\x24"
SUB_BUDGET, ADD_BUDGET = b"\x49\x83\xee", b"\x49\x83\xc6"  # imm8
MOV_RAX = b"\x48\xb8"  # imm64
APPEND_RAX = b"\x49\x89\x45\x00\x49\x83\xc5\x08"  # mov [r13], rax; add r13, 8
ADD_HITS = b"\x49\x01\xc7"  # add r15, rax
MOVE_RING = b"\x4c\x89\xe8"  # mov rax, r13
SUBTRACT_LONG = b"\x49\x2b\x84\x24"  # sub rax, [..]
OR_HITS = b"\x4c\x09\xf8"  # or rax, r15
SET_LONG = b"\x49\xc7\x84\x24"  # mov qword [..], imm32 with its sign
JE, JNE, JS, JMP = b"\x0f\x84", b"\x0f\x85", b"\x0f\x88", b"\xe9"


def word(number: int) -> bytes:
    """Four bytes."""
    return struct.pack("<I", number & 0xFFFFFFFF)


class Assembly:
    """The bytes of a block, with jumps to labels that are placed later."""

    def __init__(self, base: int) -> None:
        """base: host address where it will be."""
        self.base = base
        self.code = bytearray()
        self.labels: dict[Any, int] = {}
        self.jumps: list[tuple[int, Any]] = []

    def place(self, label: Any) -> None:
        """The label is here."""
        self.labels[label] = len(self.code)

    def jump(self, opcode: bytes, label: Any) -> None:
        """A jump with a 32-bit displacement."""
        self.code += opcode
        self.jumps.append((len(self.code), label))
        self.code += bytes(4)

    def jump_to(self, opcode: bytes, host: int) -> None:
        """A jump to a host address."""
        self.code += opcode
        self.code += word(host - (self.base + len(self.code) + 4))

    def finish(self) -> bytes:
        """With all jumps resolved."""
        for at, label in self.jumps:
            struct.pack_into("<i", self.code, at, self.labels[label] - at - 4)
        return bytes(self.code)
