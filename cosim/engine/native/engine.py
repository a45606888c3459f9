"""The native engine: interface.Engine for one core; blocks of our own, and Unicorn for the rest.

Blocks do the fast path only.  Whatever is unusual leaves the block before the instruction, with the
whole state in order, and Unicorn executes that one instruction over the same control block and
ring: every fault, system call, clock read and exact stop is the reference engine's.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cosim.engine import hooks
from cosim.engine.control import NONE, Control
from cosim.engine.interface import UNLIMITED, Reason, Stop
from cosim.engine.native.code_space import NO_BLOCK, BlockWord, CodeSpace
from cosim.engine.native.runtime import (
    BUFFER_RECORDS,
    Outcome,
    RunWord,
    clear_tlb,
    fill_function,
    gather_function,
    note_function,
    note_records,
    pace_function,
    reach_function,
    run_blocks,
    scatter_function,
    space_key,
)
from cosim.engine.native.state import (
    CODE_PAGES,
    CODE_PAGES_AT,
    RECENT_CLASSES,
    STATE_BYTES,
    Fill,
    SiteWord,
    StateWord,
)
from cosim.engine.native.stencils import Library
from cosim.engine.native.translator import LONGEST_BYTES, Translator, next_page, page_bytes
from cosim.engine.stream import Word
from cosim.engine.unicorn_engine import UnicornEngine
from cosim.engine.unicorn_translator import RegisterBatch
from cosim.engine.walk import Walk, walk
from cosim.errors import MachineError
from cosim.paging import Protection
from cosim.units import LINE_BYTES, PAGE_BYTES, PAGE_SHIFT

ALIGNMENT = 64
LIMIT_STOP = Stop(Reason.LIMIT)
# Executed by Unicorn where there is no block yet.  Going there and back costs 25 us, so many
# instructions there as much, and a block of five 500 us: most code of a start runs once or twice.
COLD_INSTRUCTIONS = 500
LINE_SHIFT = LINE_BYTES.bit_length() - 1
SHORTEST_WHOLE = 4  # instructions aligned to so many bytes never go over the end of a page
PAGES_WORD = CODE_PAGES_AT // 8
TOUCHED = 64  # code frames one stretch of Unicorn may store to before everything is forgotten
HOST_FLOATING_DEFAULT = 0x1F80  # MXCSR: all exceptions masked, round to nearest, no flag set


@dataclass
class CodePage:
    """A page that blocks were made from."""

    number: int
    frame: int  # physical byte address
    signature: int  # of its bytes
    blocks: list[int] = field(default_factory=list)


class NativeEngine:
    """One core.  Takes what UnicornEngine takes.

    worst_reference_cycles: most that one record may cost.  hot_after: how often code of a line is
    come to without a block before one is made: until then Unicorn executes some instructions from
    there on.  fallbacks: form -> instructions executed by Unicorn because blocks could not.
    line_classes: of the memory system, see recency; below RECENT_CLASSES every reference has a
    record.  may_cross: instructions may go over the end of a page.
    whole_blocks: `run` ends before a block that would pass the limit, when one was executed.
    """

    reference_class = UnicornEngine

    def __init__(
        self, isa: Any, physical: np.ndarray, stream: Any, *, worst_reference_cycles: int = 20_000,
        hot_after: int = 1, line_classes: int = 0, **options: Any,
    ) -> None:  # fmt: skip
        self.reference = self.reference_class(isa, physical, stream, **options)
        self.isa = isa
        self.control, self.words = self.reference.control, self.reference.words
        self._physical = physical
        self._stream = stream
        self._table = isa.instructions
        self._space = CodeSpace()
        self.library = Library(isa.name, self._table)
        self.translator = Translator(self._table, self.library, self._space)
        self._exclusive = getattr(self._table, "exclusive", lambda words: None)
        self._make_state()
        self.translator.recency = line_classes >= RECENT_CLASSES
        self._state[StateWord.UNKNOWN] = 0 if self.translator.recency else NONE
        self._run_words = np.zeros(RunWord.WORDS, dtype=np.uint64)
        self._run_words[RunWord.PENDING] = NONE
        self._run_words[RunWord.ENTER] = self._space.symbols["enter"]
        self._run_words[RunWord.WORST] = worst_reference_cycles
        self._touched = np.zeros(TOUCHED, dtype=np.int64)
        self._pages: dict[tuple[int, int], CodePage] = {}
        self._spaces: dict[int, int] = {}
        self._hot_after = hot_after
        self._misses: Counter[tuple[int, int]] = Counter()  # by address space and line
        self.may_cross = isa.traps.PC_ALIGNMENT_BYTES != SHORTEST_WHOLE
        self._native = False  # where the registers are
        self.whole_blocks = False
        self.fallbacks: Counter[str] = Counter()
        self.tail_instructions = 0
        self.set_translation(0, 0)

    def _make_state(self) -> None:
        raw = np.zeros(STATE_BYTES + ALIGNMENT, dtype=np.uint8)
        start = -raw.ctypes.data % ALIGNMENT
        self._state = raw[start : start + STATE_BYTES].view(np.uint64)
        self._state_words = memoryview(self._state.data)
        self._buffer = np.zeros(BUFFER_RECORDS + 64, dtype=np.uint64)
        self._code_frames = np.zeros(len(self._physical) >> PAGE_SHIFT, dtype=np.uint8)
        layout = self._table.LAYOUT
        self._pc = layout.word("pc")
        address = self._state.ctypes.data
        self._batch = RegisterBatch(
            self.reference.translator, [(name, address + layout[name]) for name in layout.shared]
        )
        for place, value in {
            StateWord.FILL: fill_function.address,
            StateWord.SITES: self._space.sites.ctypes.data,
            StateWord.CONTROL: self.control.ctypes.data,
            StateWord.CODE_FRAMES: self._code_frames.ctypes.data,
            StateWord.REACH: reach_function.address,
            StateWord.NOTE: note_function.address,
            StateWord.GATHER: gather_function.address,
            StateWord.SCATTER: scatter_function.address,
            StateWord.FLOATING: HOST_FLOATING_DEFAULT,
            StateWord.BUFFER: self._buffer.ctypes.data,
            StateWord.PACE: pace_function.address,
            StateWord.HELPER: getattr(self._table, "HELPER_ADDRESS", 0),
        }.items():
            self._state[place] = value

    # Registers: in the state while blocks run, in Unicorn otherwise.

    def _to_native(self) -> None:
        if not self._native:
            self._batch.read()
            self._table.unpack(self._state_words)
            self._native = True

    def _to_unicorn(self) -> None:
        if self._native:
            self._table.pack(self._state_words)
            self._batch.write()
            monitor = self._exclusive(self._state_words)
            if monitor is not None:
                self.reference.translator.set_monitor(*monitor)
            self._native = False

    # Running.

    def run(
        self,
        *,
        instruction_limit: int = UNLIMITED,
        record_limit: int = UNLIMITED,
        cycle_limit: int = UNLIMITED,
    ) -> Stop:
        """See interface.Engine."""
        words = self.words
        limits = {"record_limit": record_limit, "cycle_limit": cycle_limit}
        stays = False  # a store into its own block makes Unicorn begin the instruction again
        while True:
            words[Control.INSTRUCTION_LIMIT] = instruction_limit
            words[Control.RECORD_LIMIT] = record_limit
            words[Control.CYCLE_LIMIT] = max(cycle_limit, 0)
            self._to_native()
            if not self._table.usable(self._state_words):
                return self._unicorn(instruction_limit, limits)
            outcome = self._blocks()
            # Hits without a record count, too.
            limits["record_limit"] = record_limit = words[Control.RECORD_LIMIT]
            if outcome == Outcome.LIMIT and self._is_code(self._state_words[self._pc]):
                self._publish_progress()
                return LIMIT_STOP
            pc = self._state_words[self._pc]
            most = COLD_INSTRUCTIONS if stays or outcome == Outcome.MISSING else 1
            until = min(instruction_limit, words[Control.COUNT] + most)
            stop = self._unicorn(until, limits)
            stays = most == 1 and self.reference.read("pc") == pc
            if stop.reason != Reason.LIMIT:
                return stop
            if until == instruction_limit or words[Control.COUNT] < until:
                return stop

    def _key(self) -> int:
        """What blocks of the current address space, at the current pace, are found under."""
        return int(space_key(self._run_words[RunWord.SPACE], self._run_words[RunWord.PACED]))

    def _is_code(self, pc: int) -> bool:
        """True when `pc` can be fetched; if not, Unicorn reports the fault even at the limit."""
        if self.may_cross and pc % PAGE_BYTES > PAGE_BYTES - LONGEST_BYTES:
            return False  # the instruction may need the next page: Unicorn knows
        page = self._pages.get((int(self._run_words[RunWord.SPACE]), pc >> PAGE_SHIFT))
        if page is not None and self._state_words[PAGES_WORD + page.number]:
            return True
        return self._executable(pc) is not None

    def _publish_progress(self) -> None:
        header = self._stream.header
        header[Word.INSTRUCTIONS_USER] = header[Word.FETCHES_USER] = self.words[Control.COUNT]

    def _unicorn(self, instruction_limit: int, limits: dict[str, int]) -> Stop:
        """Let Unicorn run; code that it stored to is forgotten."""
        self._to_unicorn()
        words = self.words
        first, begun = words[Control.WRITE], words[Control.COUNT]
        self._mark_code(self.reference.read("pc"))
        stop = self.reference.run(instruction_limit=instruction_limit, **limits)
        self.tail_instructions += words[Control.COUNT] - begun
        found = note_records(self.control, self._code_frames, np.uint64(first), self._touched)
        if found:
            self._forget_frames(set(self._touched[:found].tolist()), found == TOUCHED)
        return stop

    def _blocks(self) -> Outcome:
        """Run blocks until a limit is reached, or Unicorn is needed for one instruction."""
        run, space, words = self._run_words, self._space, self.words
        self._enter_blocks()
        run[RunWord.PENDING] = NONE
        run[RunWord.CHOOSE] = 1
        run[RunWord.WHOLE] = words[Control.COUNT] if self.whole_blocks else NONE
        while True:
            outcome = run_blocks(
                self.control, self._state, run, space.sites, space.blocks, space.table
            )
            pc = int(run[RunWord.PC])
            if outcome == Outcome.MISSING:
                if self._is_hot(pc) and self._translate(pc):
                    continue
            elif outcome == Outcome.UNCHECKED:
                if self._check(pc):
                    continue
            elif outcome == Outcome.FALLBACK:
                self._fall_back(int(run[RunWord.SITE]))
            elif outcome == Outcome.SHUTDOWN:
                raise MachineError(f"core {words[Control.CORE]}: the machine is going down")
            break
        self._leave_blocks()
        return outcome

    def _enter_blocks(self) -> None:
        """PC and the line fetched last are where `run_blocks` has them."""
        state, words = self._state_words, self.words
        state[StateWord.LINE] = 0
        if words[Control.FETCH_VIRTUAL] != NONE:
            fetched = words[Control.FETCH_VIRTUAL], words[Control.FETCH_PHYSICAL]
            state[StateWord.LINE] = self._space.line_number(*fetched)
        self._run_words[RunWord.PC] = state[self._pc]

    def _leave_blocks(self) -> None:
        state, words = self._state_words, self.words
        state[self._pc] = self._run_words[RunWord.PC]
        line = state[StateWord.LINE]
        if line:
            fetched = self._space.lines[line].tolist()
            words[Control.FETCH_VIRTUAL], words[Control.FETCH_PHYSICAL] = fetched

    def among_blocks(self, function: Callable[..., int], ways: tuple) -> int | None:
        """function(*ways, the arguments of run_blocks); None when blocks cannot go on just now."""
        if not self._native or not self._table.usable(self._state_words):
            return None
        space = self._space
        self._enter_blocks()
        answer = function(
            *ways, self.control, self._state, self._run_words, space.sites, space.blocks,
            space.table,
        )  # fmt: skip
        self._leave_blocks()
        return answer

    def _fall_back(self, site: int) -> None:
        """Count the form; next time it can go over the end of a page by itself."""
        row = self._space.sites[site]
        self.fallbacks[self.translator.forms[row[SiteWord.FORM]]] += 1
        if self._state_words[StateWord.FILLED] == Fill.CROSSING and not row[SiteWord.CAREFUL]:
            pc = int(row[SiteWord.PC]) & NONE
            physical = self.translate(pc)
            if physical is not None and not self._space.full:
                self.translator.make_careful(site, page_bytes(self._physical, physical))
        self._state_words[StateWord.FILLED] = Fill.REFUSED

    # Code.

    def _walk(self, address: int) -> tuple[int, int, int]:
        words = self.control
        return walk(
            words[Control.WALK_TABLE],
            words[Control.MEMORY_BASE],
            words[Control.MEMORY_SIZE],
            words[Control.ROOT],
            np.uint64(address),
        )

    def _executable(self, pc: int) -> int | None:
        """Physical byte address of the page of `pc` if its code may be executed."""
        outcome, physical, rights = self._walk(pc & ~(PAGE_BYTES - 1))
        if outcome != Walk.MAPPED or not int(rights) & Protection.EXECUTE:
            return None
        return int(physical)

    def _mark_code(self, pc: int) -> None:
        """Unicorn may translate from the page of `pc`: stores to it must be seen."""
        frame = self._executable(pc)
        if frame is not None:
            self._mark_frame(frame, 2)

    def _mark_frame(self, frame: int, flag: int) -> None:
        before = self._code_frames[frame >> PAGE_SHIFT]
        if before & flag == 0:
            self._code_frames[frame >> PAGE_SHIFT] = before | flag
            if before == 0:
                clear_tlb(self._state)

    def _signature(self, frame: int) -> int:
        return int(hooks.page_signature(self.control, np.uint64(frame)))

    def _page(self, pc: int) -> CodePage | None:
        """The code page of `pc`, compared with memory as it is now; None: it cannot be executed."""
        key = (int(self._run_words[RunWord.SPACE]), pc >> PAGE_SHIFT)
        frame = self._executable(pc)
        if frame is None:
            return None
        page = self._pages.get(key)
        if page is None:
            page = CodePage(len(self._pages), frame, self._signature(frame))
            self._pages[key] = page
        elif not self._state_words[PAGES_WORD + page.number]:
            signature = self._signature(frame)
            if (frame, signature) != (page.frame, page.signature):
                self._drop(page)
                page.frame, page.signature = frame, signature
        self._mark_frame(frame, 1)
        self._state_words[PAGES_WORD + page.number] = 1
        return page

    def _check(self, pc: int) -> bool:
        """Compare the pages of the block at `pc` with memory; False: one cannot be executed."""
        page = self._page(pc)
        if page is None:
            return False
        block = self._space.find(self._key(), pc)
        if block == NO_BLOCK or self._space.blocks[block, BlockWord.OTHER_PAGE] == page.number:
            return True
        return self._page(next_page(pc)) is not None

    def _is_hot(self, pc: int) -> bool:
        """Is it time to make a block at `pc`?"""
        key = (int(self._run_words[RunWord.SPACE]), pc >> LINE_SHIFT)
        self._misses[key] += 1
        return self._misses[key] >= self._hot_after

    def _translate(self, pc: int) -> bool:
        """Make the block at `pc`; False: a page that it needs cannot be executed."""
        if self._space.full or len(self._pages) + 2 > CODE_PAGES:
            self._forget_everything()
        page = self._page(pc)
        if page is None:
            return False
        number = page.number
        physical = page.frame + pc % PAGE_BYTES
        code = page_bytes(self._physical, physical)
        if len(code) < LONGEST_BYTES and self._table.decode(code, pc) is None:
            other = self._page(next_page(pc))
            if other is None:
                return False
            code += page_bytes(self._physical, other.frame)
            number = other.number
            other.blocks.append(self._space.block_count)
        paced = bool(self._run_words[RunWord.PACED])
        block = self.translator.make(code, pc, physical, page.number, number, paced=paced)
        page.blocks.append(block)
        self._space.insert(self._key(), pc, block)
        return True

    def _drop(self, page: CodePage) -> None:
        """Forget the blocks of a page."""
        for block in page.blocks:
            self._space.kill(block)
        page.blocks.clear()

    def _forget_frames(self, frames: set[int], everything: bool) -> None:
        """Unicorn stored to frames that code was made from."""
        if everything:
            self._forget_everything()
        for page in self._pages.values():
            if page.frame >> PAGE_SHIFT in frames:
                self._drop(page)
                self._state_words[PAGES_WORD + page.number] = 0
        self.reference.translator.flush_code()
        for frame in frames:
            self._code_frames[frame] = 0

    def _forget_everything(self) -> None:
        """No room is left: begin anew.  Lines get new numbers, also the one fetched last."""
        line = self._state_words[StateWord.LINE]
        fetched = self._space.lines[line].tolist()
        self._space.clear()
        self._state_words[StateWord.LINE] = self._space.line_number(*fetched) if line else 0
        self._pages.clear()
        self._misses.clear()
        self._code_frames[:] = 0
        self.reference.translator.flush_code()
        self._run_words[RunWord.PENDING] = NONE
        self._state[PAGES_WORD : PAGES_WORD + CODE_PAGES] = 0
        clear_tlb(self._state)

    def host_statistics(self) -> dict[str, int]:
        """How the code ran, for the run's report: nothing of this is simulated."""
        words, made = self._run_words, self.translator.instructions
        return {
            "native.blocks_entered": int(words[RunWord.BLOCKS_ENTERED]),
            "native.instructions_translated": made,
            "native.stencils_built": self.library.built,
            "native.stencils_us": int(self.library.seconds * 1e6),
            "native.unicorn_instructions": self.tail_instructions,
            **{f"native.fallback.{form}": count for form, count in self.fallbacks.most_common()},
        }

    # State: see interface.Engine.

    @property
    def instructions(self) -> int:
        """User instructions executed so far."""
        return self.words[Control.COUNT]

    def read(self, register: str) -> int:
        """See interface.Engine."""
        self._to_unicorn()
        return self.reference.read(register)

    def write(self, register: str, value: int) -> None:
        """See interface.Engine."""
        self._to_unicorn()
        self.reference.write(register, value)

    def save(self) -> Any:
        """See interface.Engine."""
        self._to_unicorn()
        return self.reference.save()

    def restore(self, context: Any) -> None:
        """See interface.Engine."""
        self._native = False  # of what blocks left nothing is kept
        self.reference.restore(context)

    def reset(self) -> None:
        """The state of a new process."""
        self._native = False
        self.reference.reset()

    @property
    def blank(self) -> Any:
        """A context like those of `save`: the state of a new process."""
        return self.reference.blank

    def set_translation(self, root: int, asid: int) -> None:
        """See interface.Engine."""
        self.reference.set_translation(root, asid)
        number = self._spaces.setdefault(root, len(self._spaces))
        self._run_words[RunWord.SPACE] = number
        self._flush()

    def flush_tlb(self, address: int | None = None) -> None:
        """See interface.Engine."""
        self.reference.flush_tlb(address)
        self._flush()

    def _flush(self) -> None:
        clear_tlb(self._state)
        self._state[PAGES_WORD : PAGES_WORD + len(self._pages)] = 0

    def translate(self, address: int) -> int | None:
        """Physical address of a virtual one, without any effect; None: not mapped."""
        return self.reference.translate(address)

    def complete_clock_read(self, form: object, cycles: int) -> None:
        """See interface.Engine."""
        self._to_unicorn()
        self.reference.complete_clock_read(form, cycles)

    def register_words(self) -> list[int]:
        """See interface.Engine."""
        self._to_unicorn()
        return self.reference.register_words()
