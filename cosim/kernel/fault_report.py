"""What a debugger would say of a thread that a signal ends: where it was, what it did, what its
registers held.
"""

import bisect
import io
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from cosim.kernel.pseudo_files import map_lines
from cosim.kernel.signals import (
    CODE_MEANINGS,
    FAULTS,
    SI_KERNEL,
    SI_TKILL,
    SI_USER,
    SignalInfo,
    name_of,
)

REGISTERS_PER_LINE = 3
SENDER_CODES = {
    SI_USER: "sent by process",
    SI_TKILL: "sent to this thread by process",
    SI_KERNEL: "sent by the kernel",
}


class Symbols:
    """Function symbols of an ELF file, for address -> name+offset."""

    def __init__(self, image: bytes) -> None:
        """Without a (readable) symbol table every lookup answers ''."""
        rows: dict[int, tuple[int, str]] = {}
        try:
            table: Any = ELFFile(io.BytesIO(image)).get_section_by_name(".symtab")
            for symbol in table.iter_symbols() if table is not None else ():
                if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF":
                    rows.setdefault(symbol["st_value"], (symbol["st_size"], symbol.name))
        except (ELFError, ValueError, KeyError):
            rows = {}
        self._starts = sorted(rows)
        self._rows = rows

    def name(self, address: int) -> str:
        """`function+0x1c`, or '' when no function holds the address."""
        place = bisect.bisect_right(self._starts, address) - 1
        if place < 0:
            return ""
        start = self._starts[place]
        size, name = self._rows[start]
        if size and address >= start + size:
            return ""
        return f"{name}+{address - start:#x}"


def _where(process, address: int) -> str:
    """Symbol of a code address, in the form of ` <main+0x4>`."""
    symbol = Symbols(process.image).name(address - process.bias)
    return f" <{symbol}>" if symbol else ""


def _why(info: SignalInfo, detail: str) -> str:
    if info.number in FAULTS and info.code == SI_KERNEL and detail:
        return detail
    if info.number in FAULTS and info.code > 0:
        meaning = CODE_MEANINGS.get((info.number, info.code), f"code {info.code}")
        return f"{meaning}: {detail}" if detail else meaning
    if info.code in (SI_USER, SI_TKILL):
        return f"{SENDER_CODES[info.code]} {info.sender}"
    return SENDER_CODES.get(info.code, f"code {info.code}")


def _nearest(process, address: int) -> list[str]:
    """The mapping that holds the address, or its neighbours."""
    rows = list(zip(process.space.areas(), map_lines(process), strict=True))
    for area, line in rows:
        if area.start <= address < area.end:
            return [f"  in mapping     {line}"]
    below = [line for area, line in rows if area.end <= address][-1:]
    above = [line for area, line in rows if area.start > address][:1]
    return [f"  mapping below  {line}" for line in below] + [
        f"  mapping above  {line}" for line in above
    ]


def _registers(engine, isa) -> list[str]:
    """General and control registers, a few to a line."""
    rows = [*isa.registers.GENERAL, *isa.registers.CONTROL]
    cells = [f"{row.name:>10} {engine.read(row.name):#018x}" for row in rows]
    return [
        " ".join(cells[start : start + REGISTERS_PER_LINE])
        for start in range(0, len(cells), REGISTERS_PER_LINE)
    ]


def compose(kernel, thread, info: SignalInfo) -> str:
    """The report, several lines.  The thread's registers must be in its core's engine."""
    process = thread.process
    engine = thread.lane.core.engine
    pc = engine.read("pc")
    lines = [
        f"{process.name}: {name_of(info.number)}, {_why(info, thread.fault_detail)}",
        f"  node {kernel.node_name}, core {thread.lane.core.index}, "
        f"process {process.pid}, thread {thread.tid}"
        + (f" ({thread.name})" if thread.name != process.name else ""),
        f"  pc {pc:#x}{_where(process, pc)}",
    ]
    with kernel.memory.uncharged():
        if info.number in FAULTS and info.code > 0:
            lines.append(f"  faulting address {info.address:#x}")
            lines += _nearest(process, info.address)
        lines += _registers(engine, kernel.isa)
    return "\n".join(lines)
