"""Unicorn as we need it: an instance in user mode, with registers, contexts, hooks, sound reports.

What Unicorn 2.1.4 gets wrong for us is put right here, each with a test in tests/engine:

- it starts in kernel mode: the ISA's own return instruction is run once to enter user mode;
- it lets RISC-V user code read the host's clock, whatever mcounteren says: only the oldest version
  of the privileged architecture that it knows obeys, so the state is told it is that one;
- it remembers a contributory x86 exception and would make the next one a double fault: the place is
  found once by comparing two contexts around a probe, and cleared after every exception;
- a failed translation reports the page only: the exact address is read from the instance's own
  structure, at a place that is found the same way;
- before every memory hook it searches its tables for the guest state at that instruction, which
  costs more than the rest of the access: the hooks need only PC, which they know, so they set the
  flag that says so (the one a write of PC sets, found by comparing the structure before and after
  one) and clear it before a stop;
- address 0 is "where to stop" by default: exits are switched on and none is set.
"""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import unicorn
from unicorn import arm64_const, riscv_const, unicorn_const, x86_const
from unicorn.unicorn_py3.unicorn import UcContext, uclib

from cosim.errors import MachineError
from cosim.isa import Isa
from cosim.trap_tables import MonitorProbe, UserEntry
from cosim.units import PAGE_BYTES

CONSTANTS = (x86_const, arm64_const, riscv_const, unicorn_const)
NOWHERE = (1 << 64) - 1
ENTRY_PAGE = 0x1000  # where the code that enters user mode is put, before memory is mapped
PROBE_ADDRESSES = (0x5AA5_1234_5678_9ABC, 0x2DD2_8765_4321_0FF0)  # no table maps them
STRUCTURE_BYTES = 0x1000  # of the instance's structure that are searched for them
MONITOR_AT, MONITOR_VALUE = 0x800, 0x1357_9BDF_0246_8ACE  # of the probe, in the entry page
NOT_DELIVERING = -1  # value of the exception latch at rest

EMU_STOP_ADDRESS = ctypes.cast(uclib.uc_emu_stop, ctypes.c_void_p).value or 0
REGISTER_READ_ADDRESS = ctypes.cast(uclib.uc_reg_read, ctypes.c_void_p).value or 0
FLUSH_TLB = unicorn_const.UC_CTL_TLB_FLUSH | unicorn_const.UC_CTL_IO_WRITE << 30
FLUSH_CODE = unicorn_const.UC_CTL_TB_FLUSH | unicorn_const.UC_CTL_IO_WRITE << 30


@cache
def constant(name: str) -> int:
    """Value of a Unicorn constant by its name.  MachineError when this Unicorn does not have it."""
    for module in CONSTANTS:
        if hasattr(module, name):
            return getattr(module, name)
    raise MachineError(f"unicorn {unicorn.__version__} has no {name!r}; use 2.1.4 or newer")


class Translator:
    """One Unicorn instance running user code of one ISA.

    Register names are those of the ISA's table and its aliases.  Nothing here knows limits, records
    or kernels.
    """

    def __init__(self, isa: Isa) -> None:
        """An instance in user mode without memory or hooks."""
        self.isa = isa
        table = isa.registers
        self._uc = unicorn.Uc(constant(table.ENGINE_ARCHITECTURE), constant(table.ENGINE_MODE))
        self._uc.ctl_set_cpu_model(constant(table.ENGINE_MODEL))
        self._handle: Any = self._uc._uch  # a c_void_p
        self._registers: dict[str, tuple[int, int, Any]] = {}
        for row in (*table.REGISTERS, *table.SYSTEM):
            buffer = (ctypes.c_uint64 * 2)()
            self._registers[row.name] = (constant(row.engine_name), row.bits, buffer)
        for alias, name in table.ALIASES.items():
            self._registers[alias] = self._registers[name]
        self._uc.ctl_set_tlb_mode(unicorn_const.UC_TLB_VIRTUAL)  # type: ignore[attr-defined]
        self._scratch = self.new_context()
        self._latch_offset = 0
        self._monitor = 0
        self._enter_user_mode(isa.traps.USER_ENTRY)
        self._fault_offset = 0
        self._unused_flag = ctypes.c_uint64()
        self.skip_flag_address = self._find_skip_flag()

    # Bringing it up.

    def _enter_user_mode(self, entry: UserEntry) -> None:
        """Run the ISA's entry code; without a translation hook addresses are physical."""
        after = ENTRY_PAGE + len(entry.code)
        self._uc.mem_map(ENTRY_PAGE, PAGE_BYTES)
        self._uc.mem_write(ENTRY_PAGE, entry.code + self.isa.traps.LATCH_PROBE)
        for number, value in entry.model_registers.items():
            self._uc.msr_write(number, value)
        for name, content in entry.registers.items():
            self.write(name, after if content is None else content)
        self._uc.emu_start(ENTRY_PAGE, after)
        if self.read("pc") != after:
            raise MachineError(
                f"{self.isa.name}: PC is {self.read('pc'):#x} after entering user mode"
            )
        self._uc.ctl_exits_enabled(True)
        for words, others in entry.hidden_words:
            self._exchange(words, others)
        if self.isa.traps.LATCH_PROBE:
            self._find_latch(after)
        if getattr(self.isa.traps, "MONITOR_PROBE", None):
            self._find_monitor(self.isa.traps.MONITOR_PROBE)
        self._uc.mem_unmap(ENTRY_PAGE, PAGE_BYTES)

    def _exchange(self, words: tuple[int, ...], others: tuple[int, ...]) -> None:
        """Put `others` where `words` stand in the state."""
        context = self.new_context()
        self.save_into(context)
        state = np.frombuffer(bytes(context), dtype=np.uint64)
        rows = np.lib.stride_tricks.sliding_window_view(state, len(words))
        places = np.nonzero((rows == np.array(words, dtype=np.uint64)).all(axis=1))[0]
        if len(places) != 1:
            raise MachineError(
                f"{self.isa.name}: unicorn {unicorn.__version__} has"
                f" {', '.join(map(hex, words))} at {len(places)} places of its state, need 1;"
                " use 2.1.4"
            )
        new = np.array(others, dtype=np.uint64).tobytes()
        ctypes.memmove(context.context.value + int(places[0]) * 8, new, len(new))
        self.restore_from(context)

    def _find_latch(self, probe: int) -> None:
        """Run a faulting instruction; see which word of the context went from -1 to its number."""
        self.save_into(self._scratch)
        quiet = np.frombuffer(bytes(self._scratch), dtype=np.int32)
        uclib.uc_emu_start(self._handle, probe, NOWHERE, 0, 0)
        after = self.new_context()
        self.save_into(after)
        self.restore_from(self._scratch)
        loud = np.frombuffer(bytes(after), dtype=np.int32)
        places = np.nonzero((quiet == NOT_DELIVERING) & (loud == self.isa.traps.LATCH_VALUE))[0]
        if len(places) != 1:
            raise MachineError(
                f"{self.isa.name}: exception latch found at {len(places)} places, need 1"
            )
        self._latch_offset = int(places[0]) * 4

    def _find_monitor(self, probe: MonitorProbe) -> None:
        """Run a load exclusive; see where its address and, behind it, its value are now."""
        before, after = self.new_context(), self.new_context()
        self.save_into(before)
        self._uc.mem_write(ENTRY_PAGE, probe.code)
        at = ENTRY_PAGE + MONITOR_AT
        self._uc.mem_write(at, MONITOR_VALUE.to_bytes(8, "little"))
        self.write(probe.address_register, at)
        self._uc.ctl_exits_enabled(False)
        self._uc.emu_start(ENTRY_PAGE, ENTRY_PAGE + len(probe.code))
        self._uc.ctl_exits_enabled(True)
        self.save_into(after)
        quiet, loud = (np.frombuffer(bytes(c), dtype=np.uint64) for c in (before, after))
        addresses = np.nonzero((quiet == np.uint64(NOWHERE)) & (loud == np.uint64(at)))[0]
        self.restore_from(before)
        places = [place for place in addresses if loud[place + 1] == np.uint64(MONITOR_VALUE)]
        if len(places) != 1:
            raise MachineError(
                f"{self.isa.name}: exclusive monitor found at {len(places)} places, need 1"
            )
        self._monitor = 8 * int(places[0])

    def set_monitor(self, address: int, value: int) -> None:
        """Set the exclusive monitor: what a load exclusive of `value` at `address` leaves behind;
        address all ones: open.
        """
        self.save_into(self._scratch)
        place = (ctypes.c_uint64 * 2).from_address(self._scratch.context.value + self._monitor)
        place[0], place[1] = address, value
        self.restore_from(self._scratch)

    def _structure(self) -> np.ndarray:
        """Bytes of the instance's structure."""
        size = ctypes.CDLL(None).malloc_usable_size(self._handle)
        return np.frombuffer(ctypes.string_at(self._handle, size), dtype=np.uint8)

    def _find_skip_flag(self) -> int:
        """Host address of the flag that suppresses the search before memory hooks.

        A write of PC sets exactly two flags of the structure: the earlier asks to leave the block.
        When that is not what is seen, nothing is skipped: the address is that of an unused word.
        """
        before = self._structure()
        self.write("pc", self.read("pc"))
        after = self._structure()
        places = np.nonzero((before == 0) & (after == 1))[0]
        if len(places) != 2:
            return ctypes.addressof(self._unused_flag)
        return self._handle.value + int(places[1])

    def map_memory(self, physical: np.ndarray) -> None:
        """Map all of physical memory, from address 0."""
        self._uc.mem_map_ptr(0, len(physical), unicorn_const.UC_PROT_ALL, physical.ctypes.data)

    def add_hook(self, kind: str, hook: Any, argument: int, instruction: str | None = None) -> None:
        """Call the numba cfunc `hook` for everything of `kind`, with `argument` as user data."""
        extra = () if instruction is None else (ctypes.c_int(constant(instruction)),)
        error = uclib.uc_hook_add(
            self._handle,
            ctypes.byref(ctypes.c_size_t()),
            constant(kind),
            ctypes.c_void_p(hook.address),
            ctypes.c_void_p(argument),
            ctypes.c_uint64(1),  # begin > end: everywhere
            ctypes.c_uint64(0),
            *extra,
        )
        if error:
            raise MachineError(f"unicorn {unicorn.__version__}: {kind} refused, error {error}")

    def find_fault_address(self) -> None:
        """Fetch from unmapped addresses; look for them in the structure.  Needs the hooks."""
        places: set[int] | None = None
        for address in PROBE_ADDRESSES:
            uclib.uc_emu_start(self._handle, address, NOWHERE, 0, 0)
            words = np.frombuffer(ctypes.string_at(self._handle, STRUCTURE_BYTES), dtype=np.uint64)
            here = set(np.nonzero(words == np.uint64(address))[0].tolist())
            places = here if places is None else places & here
        if not places:
            raise MachineError(f"unicorn {unicorn.__version__}: the faulting address was not found")
        self._fault_offset = min(places) * 8

    # Running it.

    def start(self, pc: int) -> int:
        """Run from `pc` until a hook stops it; Unicorn's error number."""
        return uclib.uc_emu_start(self._handle, pc, NOWHERE, 0, 0)

    def run_to(self, pc: int, end: int) -> int:
        """Run from `pc` as `start` does, and not beyond `end`, where translated code ends too."""
        self._uc.ctl_set_exits([end])
        error = self.start(pc)
        self._uc.ctl_set_exits([])
        self.flush_code()
        return error

    def fault_address(self) -> int:
        """Exact virtual address of the last failed translation."""
        return ctypes.c_uint64.from_address(self._handle.value + self._fault_offset).value

    def clear_latch(self) -> None:
        """Forget that an exception is being delivered."""
        if self._latch_offset:
            self.save_into(self._scratch)
            ctypes.memset(self._scratch.context.value + self._latch_offset, 0xFF, 4)
            self.restore_from(self._scratch)

    def flush_tlb(self) -> None:
        """Forget all translations of addresses."""
        uclib.uc_ctl(self._handle, FLUSH_TLB)

    def flush_code(self) -> None:
        """Forget all translated code."""
        uclib.uc_ctl(self._handle, FLUSH_CODE)

    # Its state.

    def read(self, register: str) -> int:
        """Value of a register, unsigned."""
        number, bits, buffer = self._registers[register]
        buffer[0] = buffer[1] = 0
        uclib.uc_reg_read(self._handle, number, buffer)
        value = buffer[0] if bits <= 64 else buffer[0] | buffer[1] << 64
        return value & ((1 << bits) - 1)

    def write(self, register: str, value: int) -> None:
        """Set a register to `value`, cut to its width."""
        number, bits, buffer = self._registers[register]
        value &= (1 << bits) - 1
        buffer[0] = value & NOWHERE
        buffer[1] = value >> 64
        uclib.uc_reg_write(self._handle, number, buffer)

    @property
    def handle(self) -> Any:
        """The instance, as Unicorn's C functions take it."""
        return self._handle

    def number(self, register: str) -> int:
        """Unicorn's number of a register."""
        return self._registers[register][0]

    def new_context(self) -> UcContext:
        """Room for one architectural state."""
        return UcContext(self._handle, self._uc._arch, self._uc._mode)

    def save_into(self, context: UcContext) -> None:
        """Copy the architectural state into `context`."""
        uclib.uc_context_save(self._handle, context.context)

    def restore_from(self, context: UcContext) -> None:
        """Set the architectural state; `context` may come from another instance of the same ISA."""
        uclib.uc_context_restore(self._handle, context.context)


class RegisterBatch:
    """Some registers of an instance, copied to and from host memory in one call (0.8 us for 66)."""

    def __init__(self, translator: Translator, places: Sequence[tuple[str, int]]) -> None:
        """places: (register name, host address of room for it, 8 or 16 bytes)."""
        count = len(places)
        numbers = (ctypes.c_int * count)(*(translator.number(name) for name, _ in places))
        values = (ctypes.c_void_p * count)(*(address for _, address in places))
        self._arguments = (translator.handle, numbers, values, count)

    def read(self) -> None:
        """From the instance to memory."""
        uclib.uc_reg_read_batch(*self._arguments)

    def write(self) -> None:
        """From memory to the instance."""
        uclib.uc_reg_write_batch(*self._arguments)
