"""The engine on Unicorn: interface.Engine for one core of any ISA that supplies its tables.

The hooks stop the translator at exact instruction boundaries and say why in the control block;
`run` turns that into a Stop with PC, count and records as the architecture wants them: an
instruction that faults or is denied did not happen, one that trapped into the kernel did.
"""

import ctypes
from typing import Any

import numpy as np

from cosim.engine import hooks
from cosim.engine.control import CONTROL_WORDS, FETCH_SLOTS, NONE, Control, Fault, Halt
from cosim.engine.interface import UNLIMITED, Access, Reason, Stop
from cosim.engine.stream import CoreStream, Word
from cosim.engine.unicorn_translator import (
    EMU_STOP_ADDRESS,
    REGISTER_READ_ADDRESS,
    Translator,
    constant,
)
from cosim.engine.walk import Walk, walk, walk_table
from cosim.errors import MachineError
from cosim.isa import Isa
from cosim.trap_tables import AtomicForms, Clock, ClockRead, DeniedForm
from cosim.units import PAGE_BYTES, PAGE_SHIFT

CODE_BYTES = 16  # enough for any instruction
GIVE_UP_RETURNS = 1000  # returns of the translator without a reason before that is an error
# Of an instruction, by the alignment of instructions; with one length none lies on two pages.
LONGEST_BYTES = {1: 15, 2: 4, 4: 4}
NOT_TRIED = (-1, 0)  # PC at which translation failed, where it was ended then
EMPTY_SLOTS = np.full(2 * FETCH_SLOTS, NONE, dtype=np.uint64)

DENIED_HOOKS = {
    DeniedForm.PLAIN: hooks.plain_denied_hook,
    DeniedForm.PORT_INPUT: hooks.port_input_hook,
    DeniedForm.PORT_OUTPUT: hooks.port_output_hook,
    DeniedForm.SYSTEM_REGISTER: hooks.system_register_hook,
}


def byte_classes(forms: AtomicForms) -> bytes:
    """256 classes: the ISA's own, or 1 where a pattern may match a word with this class byte."""
    if forms.byte_classes:
        return forms.byte_classes
    low = 8 * forms.class_byte
    return bytes(
        any(byte << low & mask == value & 0xFF << low for mask, value, _ in forms.word_patterns)
        for byte in range(256)
    )


class UnicornEngine:
    """One core.  `control` is the block it shares with the hooks and the stream's writer."""

    translation_hook: Any = hooks.translation_hook

    def __init__(
        self,
        isa: Isa,
        physical: np.ndarray,
        stream: CoreStream,
        *,
        levels: int,
        core: int = 0,
        port: tuple[int, int] = (0, 0),
        ipc: tuple[int, int] = (1, 1),
        frequency_hz: int = 10**9,
    ) -> None:
        """physical: all of memory, (bytes,) u8.  levels: of page tables.  core: number the port
        gets.

        port: addresses of the memory port's function and argument.  ipc: numerator and denominator.
        """
        self.isa = isa
        self._traps = isa.traps
        self._frequency_hz = frequency_hz
        self._look_ahead_end = 0
        self._look_ahead_tried = NOT_TRIED
        self._physical = physical
        self._stream = stream
        self.control = np.zeros(CONTROL_WORDS, dtype=np.uint64)
        self.words = memoryview(self.control.data)
        self._make_tables(levels)
        self._translator = Translator(isa)
        self._fill_control(core, port, ipc)
        self._translator.map_memory(physical)
        self._add_hooks()
        self._translator.find_fault_address()
        self.read = self._translator.read
        self.write = self._translator.write
        self._set_initial_registers()
        self._blank = self.save()
        self.set_translation(0, 0)

    # Making it.

    def _make_tables(self, levels: int) -> None:
        """Arrays the hooks read, kept alive by the engine."""
        traps = self._traps
        self._walk_table = walk_table(self.isa.paging.FORMATS[levels])
        frames = len(self._physical) >> PAGE_SHIFT
        self._signatures = np.zeros(frames, dtype=np.uint64)
        self._page_of_frame = np.zeros(frames, dtype=np.uint64)
        self._byte_classes = np.frombuffer(byte_classes(traps.ATOMICS), dtype=np.uint8)
        self._patterns = np.array(traps.ATOMICS.word_patterns, dtype=np.uint64).reshape(-1)
        denied = [
            word
            for crn, crm, op0, op1, op2 in traps.DENIED_SYSTEM_REGISTERS
            for word in (crm << 32 | crn, op1 << 32 | op0, op2)
        ]
        self._denied = np.array(denied, dtype=np.uint64)

    def _fill_control(self, core: int, port: tuple[int, int], ipc: tuple[int, int]) -> None:
        atomics = self._traps.ATOMICS
        sched_yield = ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0
        values = {
            Control.RING: self._stream.ring_address,
            Control.HEADER: self._stream.header_address,
            Control.PORT: port[0],
            Control.PORT_ARGUMENT: port[1],
            Control.CORE: core,
            Control.IPC_NUMERATOR: ipc[0],
            Control.IPC_DENOMINATOR: ipc[1],
            Control.MEMORY_BASE: self._physical.ctypes.data,
            Control.MEMORY_SIZE: len(self._physical),
            Control.WALK_TABLE: self._walk_table.ctypes.data,
            Control.SIGNATURES: self._signatures.ctypes.data,
            Control.PAGE_OF_FRAME: self._page_of_frame.ctypes.data,
            Control.BYTE_CLASSES: self._byte_classes.ctypes.data,
            Control.PATTERNS: self._patterns.ctypes.data,
            Control.PATTERN_COUNT: len(atomics.word_patterns),
            Control.CLASS_SHIFT: 8 * atomics.class_byte,
            Control.DENIED_TABLE: self._denied.ctypes.data,
            Control.DENIED_COUNT: len(self._traps.DENIED_SYSTEM_REGISTERS),
            Control.EMU_STOP: EMU_STOP_ADDRESS,
            Control.SCHED_YIELD: sched_yield,
            Control.REGISTER_READ: REGISTER_READ_ADDRESS,
            Control.SKIP_FLAG: self._translator.skip_flag_address,
            Control.SELF: self.control.ctypes.data,
            Control.SAVED_NUMBER: self._denied_change(),
        }
        for place, value in values.items():
            self.words[place] = value

    def _denied_change(self) -> int:
        """The translator's number of the register a denied instruction overwrites, or 0."""
        name = self._traps.DENIED_CHANGES
        rows = {row.name: row.engine_name for row in self.isa.registers.REGISTERS}
        return constant(rows[name]) if name else 0

    def _add_hooks(self) -> None:
        add = self._translator.add_hook
        argument = self.control.ctypes.data
        for kind, hook in (
            ("UC_HOOK_CODE", hooks.code_hook),
            ("UC_HOOK_MEM_READ", hooks.read_hook),
            ("UC_HOOK_MEM_WRITE", hooks.write_hook),
            ("UC_HOOK_TLB_FILL", self.translation_hook),
            ("UC_HOOK_INTR", hooks.exception_hook),
            ("UC_HOOK_INSN_INVALID", hooks.invalid_hook),
        ):
            add(kind, hook, argument)
        if self._traps.SYSTEM_CALL_HOOK:
            call = self._traps.SYSTEM_CALL_HOOK
            add("UC_HOOK_INSN", hooks.system_call_hook, argument, call)
        for row in self._traps.DENIED_INSTRUCTIONS:
            add("UC_HOOK_INSN", DENIED_HOOKS[row.form], argument, row.engine_name)

    def _set_initial_registers(self) -> None:
        """The values of a new process."""
        for row in self.isa.registers.REGISTERS:
            self.write(row.name, row.initial)

    @property
    def translator(self) -> Translator:
        """The Unicorn instance, for an engine that shares its work with this one."""
        return self._translator

    # Running.

    def run(
        self,
        *,
        instruction_limit: int = UNLIMITED,
        record_limit: int = UNLIMITED,
        cycle_limit: int = UNLIMITED,
    ) -> Stop:
        """See interface.Engine.  A limit that is already reached gives a LIMIT stop at once."""
        words = self.words
        words[Control.INSTRUCTION_LIMIT] = instruction_limit
        words[Control.RECORD_LIMIT] = record_limit
        words[Control.CYCLE_LIMIT] = max(cycle_limit, 0)
        hooks.set_limits(self.control)
        self._look_ahead_tried = NOT_TRIED
        fruitless = 0
        while fruitless < GIVE_UP_RETURNS:
            begun = words[Control.COUNT]
            words[Control.LINE] = NONE  # so the first instruction goes through hooks.fetch
            words[Control.STOP] = Halt.NOT
            words[Control.FAULT] = Fault.NOT
            error = self._start()
            stop = self._stop(error)
            if stop is not None:
                self._stream.header[Word.INSTRUCTIONS_USER] = words[Control.COUNT]
                self._stream.header[Word.FETCHES_USER] = words[Control.COUNT]
                return stop
            if words[Control.COUNT] == begun:
                fruitless += 1
            else:
                fruitless, self._look_ahead_tried = 0, NOT_TRIED
        raise MachineError(
            f"{self.isa.name}: the translator returned {GIVE_UP_RETURNS} times without executing, "
            f"PC {self.read('pc'):#x}, error {error}; please report the program"
        )

    def _start(self) -> int:
        """Run the translator, up to where it must not look ahead if it has just done so."""
        end, self._look_ahead_end = self._look_ahead_end, 0
        if end:
            return self._translator.run_to(self.read("pc"), end)
        return self._translator.start(self.read("pc"))

    def _stop(self, error: int) -> Stop | None:
        """What the last return of the translator means; None: go on."""
        halt = self.words[Control.STOP]
        if halt == Halt.LIMIT:
            return Stop(Reason.LIMIT)
        if halt == Halt.SYSTEM_CALL:
            return self._system_call()
        if halt == Halt.EXCEPTION:
            return self._exception()
        if halt == Halt.FETCH_FAULT:
            return self._fault(self.words[Control.FAULT_ADDRESS])
        if halt == Halt.DENIED:
            return self._denied_instruction()
        if halt == Halt.INVALID:
            return self._invalid()
        if halt == Halt.SHUTDOWN:
            raise MachineError(f"core {self.words[Control.CORE]}: the machine is going down")
        if self.words[Control.FAULT] == Fault.STALE_CODE:
            self._translator.flush_code()
            return None
        if error and self.words[Control.FAULT]:
            if self._looked_ahead():
                return None
            return self._fault(self._translator.fault_address())
        return self._no_report(error)

    def _looked_ahead(self) -> bool:
        """Did translation fail at an instruction over the end of the page, with others before it?

        Those run first, so that the fault comes where it belongs.  Where the instruction starts is
        not known: translation ends at one place after the other, the last one first, until there
        are no more.
        """
        alignment = self._traps.PC_ALIGNMENT_BYTES
        pc = self.read("pc")
        end = (pc | PAGE_BYTES - 1) + 1
        beyond = self.words[Control.FAULT_ACCESS] == Access.EXECUTE
        if not beyond or self.words[Control.FAULT_ADDRESS] != end:
            return False
        start, tried = self._look_ahead_tried
        place = (tried if start == pc else end) - alignment
        if place <= max(pc, end - LONGEST_BYTES[alignment]):
            self._look_ahead_tried = NOT_TRIED
            return False
        self._look_ahead_tried = pc, place
        self.words[Control.FAULT] = Fault.NOT
        self._look_ahead_end = place
        return True

    def _no_report(self, error: int) -> Stop | None:
        """The translator came back by itself: an undefined instruction, or a hint like wfi."""
        if error:
            return self._trap(*self._traps.INVALID_INSTRUCTION)
        return None

    def _system_call(self) -> Stop:
        self.write("pc", self.words[Control.PC] + self._traps.SYSTEM_CALL_LENGTH_BYTES)
        for target, source in self._traps.SYSTEM_CALL_SAVES.items():
            self.write(target, self.read(source))
        return Stop(Reason.SYSTEM_CALL)

    def _exception(self) -> Stop | None:
        """An exception: a system call on some ISAs, a clock read, or a guest's mistake."""
        self._translator.clear_latch()
        traps = self._traps
        number = self.words[Control.EXCEPTION] & traps.EXCEPTION_MASK
        if number in traps.SYSTEM_CALL_EXCEPTIONS:
            return self._system_call()
        pc = self.read("pc")
        if pc % traps.PC_ALIGNMENT_BYTES:
            if pc == self.words[Control.PC]:  # it was already counted
                self._take_back()
            return Stop(Reason.ALIGNMENT, address=pc, detail="program counter alignment")
        form = self._clock_form()
        if form is not None:
            return self._clock_read(form)
        reason, text = traps.EXCEPTIONS.get(number, traps.OTHER_EXCEPTION)
        return self._trap(reason, text)

    def _trap(self, reason: Reason, text: str) -> Stop:
        """The current instruction raised an exception: it did not happen."""
        self._take_back()
        pc = self.words[Control.PC]
        self.write("pc", pc)
        address = self._alignment_address() if reason == Reason.ALIGNMENT else pc
        return Stop(reason, address=address, detail=f"{text} at {pc:#x}")

    def _denied_instruction(self) -> Stop:
        """An instruction that the translator executed, but user code must not: undo it."""
        if self.words[Control.SAVED_VALID]:
            self.write(self._traps.DENIED_CHANGES, self.words[Control.SAVED])
            self.words[Control.SAVED_VALID] = 0
        return self._trap(Reason.ILLEGAL, self._traps.DENIED_TEXT)

    def _invalid(self) -> Stop | None:
        """An instruction the CPU model does not have; clock reads work on every model."""
        form = self._clock_form()
        if form is not None:
            return self._clock_read(form)
        return self._trap(*self._traps.INVALID_INSTRUCTION)

    def _fault(self, address: int) -> Stop:
        """A translation failed.  Fetches fail before their instruction is counted."""
        words = self.words
        access = Access(words[Control.FAULT_ACCESS])
        if access != Access.EXECUTE:
            self._take_back()
            self.write("pc", words[Control.PC])
        if words[Control.FAULT] == Fault.OUTSIDE:
            where = words[Control.FAULT_ADDRESS]
            text = f"virtual {address:#x} leads to physical {where:#x}, outside the map"
            return Stop(Reason.MACHINE_CHECK, address=where, access=access, detail=text)
        present = words[Control.FAULT] == Fault.RIGHTS
        return Stop(Reason.PAGE_FAULT, address=address, access=access, present=present)

    def _take_back(self) -> None:
        """Undo count, records and fetch of the current instruction, which did not complete."""
        words = self.words
        words[Control.WRITE] = words[Control.START]
        if words[Control.CHANGED_AT] == words[Control.COUNT]:
            words[Control.FETCH_VIRTUAL] = words[Control.BEFORE_VIRTUAL]
            words[Control.FETCH_PHYSICAL] = words[Control.BEFORE_PHYSICAL]
            words[Control.LINE] = NONE
        words[Control.COUNT] -= 1

    def _alignment_address(self) -> int:
        """Address of a misaligned access: the base register the instruction names, or 0."""
        if self._traps.ALIGNMENT_BASE is None:
            return 0
        low, bits = self._traps.ALIGNMENT_BASE
        number = self._code() >> low & (1 << bits) - 1
        name = self.isa.registers.BASE_BY_NUMBER[number]
        return self.read(name)

    # Clocks.

    def _code(self) -> int:
        """The CODE_BYTES bytes at PC, little endian; what is not mapped reads as zero."""
        pc = self.words[Control.PC]
        code = b""
        while len(code) < CODE_BYTES:
            address = pc + len(code)
            length = min(CODE_BYTES - len(code), PAGE_BYTES - address % PAGE_BYTES)
            physical = self.translate(address)
            here = (
                bytes(length) if physical is None else self._physical[physical:][:length].tobytes()
            )
            code += here
        return int.from_bytes(code, "little")

    def translate(self, address: int) -> int | None:
        """Physical address of a virtual one, without any effect; None: not mapped."""
        word = self.words
        outcome, physical, _ = walk(
            *(
                np.uint64(word[place])
                for place in (
                    Control.WALK_TABLE,
                    Control.MEMORY_BASE,
                    Control.MEMORY_SIZE,
                    Control.ROOT,
                )
            ),
            np.uint64(address & NONE),
        )
        return int(physical) if outcome == Walk.MAPPED else None

    def _clock_form(self) -> ClockRead | None:
        code = self._code()
        for form in self._traps.CLOCK_READS:
            if code & form.mask == form.value:
                return form
        return None

    def _clock_read(self, form: ClockRead) -> Stop | None:
        """A clock is read: the counter by the kernel, its frequency here."""
        self.write("pc", self.words[Control.PC])
        if form.clock == Clock.FREQUENCY:
            self.complete_clock_read(form, self._frequency_hz)
            return None
        return Stop(Reason.CLOCK_READ, detail="clock read", clock_form=form)

    def complete_clock_read(self, form: object, cycles: int) -> None:
        """See interface.Engine.  The instruction is already counted."""
        assert isinstance(form, ClockRead)
        if form.low_high:
            for place, name in enumerate(form.low_high):
                self.write(name, cycles >> 32 * place & 0xFFFF_FFFF)
        else:
            low, bits = form.field
            name = self.isa.registers.BY_NUMBER[self._code() >> low & (1 << bits) - 1]
            if name is not None:
                self.write(name, cycles)
        for name in form.zeroed:
            self.write(name, 0)
        self.write("pc", self.words[Control.PC] + form.length)

    # State.

    @property
    def instructions(self) -> int:
        """User instructions executed so far."""
        return self.words[Control.COUNT]

    def save(self) -> Any:
        """See interface.Engine."""
        context = self._translator.new_context()
        self._translator.save_into(context)
        return context, [(name, self.read(name)) for name in self.isa.registers.OUTSIDE_CONTEXT]

    def restore(self, context: Any) -> None:
        """See interface.Engine.  The fetch buffer is forgotten: another thread runs now."""
        registers, outside = context
        self._translator.restore_from(registers)
        for name, value in outside:
            self.write(name, value)
        self._forget_fetch()

    def reset(self) -> None:
        """The state of a new process: initial registers, nothing left of the thread before."""
        self.restore(self._blank)

    @property
    def blank(self) -> Any:
        """A context like those of `save`: the state of a new process."""
        return self._blank

    def set_translation(self, root: int, asid: int) -> None:
        """See interface.Engine.  `asid` is not used: the translator can only flush everything."""
        self.words[Control.ROOT] = root
        self.flush_tlb()
        self._forget_fetch()

    def flush_tlb(self, address: int | None = None) -> None:
        """See interface.Engine.  The translator can only forget everything."""
        self._translator.flush_tlb()
        self.control[Control.FETCH_CACHE :] = EMPTY_SLOTS
        self.words[Control.LINE] = NONE

    def _forget_fetch(self) -> None:
        words = self.words
        words[Control.LINE] = words[Control.FETCH_VIRTUAL] = words[Control.FETCH_PHYSICAL] = NONE

    def register_words(self) -> list[int]:
        """See interface.Engine.  In the table's order; wide registers give two words, low first."""
        result = []
        for row in self.isa.registers.REGISTERS:
            value = self.read(row.name)
            result.append(value & NONE)
            if row.bits > 64:
                result.append(value >> 64)
        return result
