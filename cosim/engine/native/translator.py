"""Guest code to blocks: stencils copied one behind the other, holes filled, exits described.

```text
 page-checked entry   cmp [page's word], 0;  je  → site STALE
 checked entry        cmp [LINE], first line; jne → fetch (out of line)
 plain entry          sub budget, count;      js  → site BUDGET
 body                 per instruction: FETCH record when a line begins, then its stencil
 stubs                mov [SITE], number; jmp to what the exit needs
```
A block is straight-line code of one page; an instruction that goes over to the next page is a block
of its own, whose checked and plain entries look at the other page's word, too.  The record of the
first line is written only when the line differs from the last one, those of further lines always.

A *paced* block is for the way to a limit: before each instruction it prices what was written and
pays for that instruction alone, so that it ends at the very instruction where the limit is reached.
"""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from cosim.engine.native import emitter, recency
from cosim.engine.native.assembly import (
    ADD_BUDGET,
    ADD_HITS,
    APPEND_RAX,
    COMPARE_LONG,
    COMPARE_WORD,
    JE,
    JMP,
    JNE,
    JS,
    LOAD_EAX,
    MOV_RAX,
    MOVE_RING,
    OR_HITS,
    SET_LONG,
    SET_WORD,
    STORE_EAX,
    STORE_R14,
    SUB_BUDGET,
    SUBTRACT_LONG,
    Assembly,
    word,
)
from cosim.engine.native.code_space import CodeSpace, signed
from cosim.engine.native.state import (
    CODE_PAGES_AT,
    LineKind,
    RecentWord,
    SiteKind,
    SiteWord,
    StateWord,
)
from cosim.engine.native.stencils import Library, Patch
from cosim.engine.native.table import Instruction
from cosim.engine.stream import FETCH_HIT, KIND_SHIFT, SIZE_SHIFT, Kind
from cosim.errors import MachineError
from cosim.units import LINE_BYTES, PAGE_BYTES

BLOCK_INSTRUCTIONS = 64
LONGEST_BYTES = 16  # at least the longest instruction of any ISA
LINE_SHIFT = LINE_BYTES.bit_length() - 1
FETCH = Kind.FETCH << KIND_SHIFT | (LINE_BYTES - 1) << SIZE_SHIFT
RECORDS_PER_INSTRUCTION = 66  # most that one writes: FETCH, 64 elements (ld4), a split one


class Translator:
    """Makes blocks of one ISA in one code space.

    instructions: how many were translated.  block_instructions: most that one block may have.
    forms: names of all forms met, for the statistics of fallbacks.  recency: may fetches of a line
    known be left out of the records?
    """

    def __init__(self, instructions: Any, library: Library, space: CodeSpace) -> None:
        """instructions: the ISA's module, see table."""
        self._isa = instructions
        self._library = library
        self._space = space
        self.forms: list[str] = []
        self._form_numbers: dict[str, int] = {}
        self.instructions = 0
        self._second_look = getattr(instructions, "plan", lambda found, decode: found)
        self.block_instructions = BLOCK_INSTRUCTIONS
        self.recency = False

    def form_number(self, name: str) -> int:
        """Number of a form in the statistics of fallbacks."""
        found = self._form_numbers.get(name)
        if found is None:
            found = self._form_numbers[name] = len(self.forms)
            self.forms.append(name)
        return found

    # Decoding.

    def decode_block(self, code: bytes, pc: int, most: int) -> tuple[list[Instruction], str]:
        """Instructions from `pc` on, and the name of the form that ended the block, if one did."""
        found: list[Instruction] = []
        at = 0
        while len(found) < most and at < len(code):
            instruction = self._isa.decode(code[at : at + LONGEST_BYTES], pc + at)
            if instruction is None or at + instruction.length > len(code):
                if found and len(code) - at < LONGEST_BYTES:
                    break  # it may go over the end of the page: a block of its own
                return found, self._isa.name_of(code[at : at + LONGEST_BYTES])
            found.append(instruction)
            at += instruction.length
            if instruction.row.ends:
                break
        return found, ""

    # Making a block.

    def make(
        self,
        code: bytes,
        pc: int,
        physical: int,
        page: int,
        other_page: int,
        *,
        paced: bool = False,
    ) -> int:
        """Translate from `pc` (at physical byte address `physical`) on; the block's number.

        code: the bytes up to the end of the page.  page: number of the code page.  other_page: of
        the next one when `code` is one instruction that goes over to it, or the same.
        """
        most = self.block_instructions if other_page == page else 1
        found, unknown = self.decode_block(code, pc, most)
        if paced:  # it may end anywhere: nothing is known of one instruction from another
            found = [self._alone(instruction) for instruction in found]
        else:
            found = self._second_look(found, lambda at: self._decode_near(code, pc, at))
        self._library.build(found)
        self.instructions += len(found)
        kind = _PacedBlock if paced else _Block
        return kind(self, self._space, found, unknown, pc, physical, page, other_page).number

    def _alone(self, instruction: Instruction) -> Instruction:
        """As if nothing were known of the instructions around it."""
        [found] = self._second_look([instruction], lambda at: None)
        return found

    def make_careful(self, site: int, code: bytes) -> None:
        """Code for accesses of the instruction at exit `site` over the end of a page.

        code: its bytes, and what follows in the page.
        """
        space = self._space
        row = space.sites[site]
        instruction = self._isa.decode(code, int(row[SiteWord.PC]) & 0xFFFF_FFFF_FFFF_FFFF)
        if instruction is None or instruction.row.ends:
            return
        instruction = self._alone(instruction).made_careful()
        self._library.build([instruction])
        row[SiteWord.CAREFUL] = _Careful(self, space, instruction, row).address

    def _decode_near(self, code: bytes, pc: int, at: int) -> Instruction | None:
        """The instruction at `at`, for a look ahead; None where the code given does not reach."""
        offset = at - pc
        return (
            self._isa.decode(code[offset : offset + LONGEST_BYTES], at)
            if 0 <= offset < len(code)
            else None
        )

    def stencil(self, instruction: Instruction):
        """Its stencil, which was built."""
        return self._library.get(instruction.key)

    def hole(self, name: str, instruction: Instruction) -> int:
        """What to put into a hole called "width:kind:field"."""
        _, kind, field = name.split(":")
        return self._isa.HOLES[kind](instruction, field)


class _Maker:
    """Code in the making: stencils with their holes filled, and the stubs of their exits."""

    def __init__(
        self, translator: Translator, space: CodeSpace, page: int, instructions: list[Instruction]
    ) -> None:
        self._translator = translator
        self._space = space
        self._page = page
        self._stubs: list[Callable[[], None]] = []
        constants = {i.key: translator.stencil(i).constants for i in instructions}
        self._constants = {key: space.constants(c) for key, c in constants.items() if c}
        self._a = Assembly(space.base + space.used)
        self._line = 0

    def _patch(
        self, start: int, patch: Patch, instruction: Instruction, place: int, leaving: dict
    ) -> None:
        a = self._a
        at = start + patch.offset
        symbol = patch.symbol
        if patch.kind == "relative 32" and ":" not in symbol and symbol != "constants":
            assert patch.addend == -4, patch
            if symbol == emitter.NEXT and not instruction.row.ends:
                label: Any = ("end", place)
            elif symbol == emitter.NEXT:
                label = self._link_later(instruction.pc + instruction.length, at)
            elif symbol == emitter.TAKEN:
                assert instruction.target is not None
                label = self._link_later(instruction.target, at)
            elif symbol == emitter.LOOKUP:
                label = ("lookup", at)
                self._later(label, SiteKind.INDIRECT, 0)
            else:
                label = leaving.setdefault(symbol, (symbol, place))
            a.jumps.append((at, label))
            return
        if symbol == "constants":
            value = self._constants[instruction.key]
        else:
            value = self._translator.hole(symbol, instruction)
        value += patch.addend
        if patch.kind == "absolute 64":
            struct.pack_into("<Q", a.code, at, value & 0xFFFF_FFFF_FFFF_FFFF)
            return
        if patch.kind == "relative 32":
            value -= a.base + at
        if not -(1 << 31) <= value < 1 << 31:
            raise MachineError(
                f"{instruction.row.name} at {instruction.pc:#x}: {symbol} is {value:#x}, "
                "which does not fit; its immediate must be wide"
            )
        struct.pack_into("<i", a.code, at, value)

    # Exits.

    def _later(self, label: Any, kind: SiteKind, pc: int, **rest: Any) -> None:
        """A stub behind the block's code; see _site."""

        def stub() -> None:
            self._a.place(label)
            self._site(kind, pc, **rest)

        self._stubs.append(stub)

    def _site(
        self,
        kind: SiteKind,
        pc: int,
        undone: int = 0,
        retry: int = 0,
        line_kind: LineKind = LineKind.SAME,
        line: int = 0,
        form: int = 0,
        target: str = emitter.LEAVE,
        end: int = 0,
    ) -> int:
        """Code that notes the exit's number and goes to the shared piece `target`."""
        space = self._space
        number = space.site_count
        space.site_count += 1
        row = [kind, signed(pc), undone, retry, line_kind, line, self._page, form, end, 0]
        space.sites[number, : len(row)] = row
        self._a.code += SET_WORD + word(8 * StateWord.SITE) + word(number)
        self._a.jump_to(JMP, space.symbols[target])
        return number

    def _link_later(self, pc: int, at: int) -> Any:
        label = ("link", at)
        self._later(label, SiteKind.LINK, pc, retry=self._a.base + at, line=self._line)
        return label


class _Careful(_Maker):
    """One instruction out of line.  address: where it is."""

    def __init__(
        self, translator: Translator, space: CodeSpace, instruction: Instruction, site: np.ndarray
    ) -> None:
        super().__init__(translator, space, int(site[SiteWord.PAGE]), [instruction])
        a = self._a
        stencil = translator.stencil(instruction)
        a.code += stencil.code
        leaving: dict[str, tuple] = {}
        for patch in stencil.patches:
            self._patch(0, patch, instruction, 0, leaving)
        a.place(("end", 0))
        a.jump_to(JMP, int(site[SiteWord.END]))
        for label in leaving.values():
            a.place(label)
            self._site(
                SiteKind.INSTRUCTION,
                instruction.pc,
                undone=int(site[SiteWord.UNDONE]),
                line_kind=LineKind(int(site[SiteWord.LINE_KIND])),
                line=int(site[SiteWord.LINE]),
                form=int(site[SiteWord.FORM]),
            )
        self.address = space.place(a.finish())


class _Block(_Maker):
    """One block in the making; everything happens in the constructor."""

    def __init__(
        self,
        translator: Translator,
        space: CodeSpace,
        instructions: list[Instruction],
        unknown: str,
        pc: int,
        physical: int,
        page: int,
        other_page: int,
    ) -> None:
        super().__init__(translator, space, page, instructions)
        self._other_page = other_page
        self._count = len(instructions)
        self._delta = physical - pc
        self._line = self._line_of(pc)
        first_line = self._line
        records = 0
        if instructions:
            self._entries(pc)
        for place, instruction in enumerate(instructions):
            self._instruction(place, instruction)
            records += 2 + translator.stencil(instruction).records  # FETCH, and a split
        last = instructions[-1] if instructions else None
        after = last.pc + last.length if last else pc
        if unknown:
            form = translator.form_number(unknown)
            self._site(SiteKind.INSTRUCTION, after, form=form, target=emitter.LEAVE)
        elif last and not last.row.ends:
            self._link(after)
        for stub in self._stubs:
            stub()
        for label in ("page checked", "checked", "plain"):
            self._a.labels.setdefault(label, 0)
        base = space.place(self._a.finish())
        self.number = space.block_count
        space.block_count += 1
        entries = [base + self._a.labels[x] for x in ("checked", "plain", "page checked")]
        row = [*entries, first_line, page, self._count, records, signed(pc), other_page, 0]
        space.blocks[self.number] = row

    def _line_of(self, pc: int) -> int:
        return self._space.line_number(pc >> LINE_SHIFT, pc + self._delta >> LINE_SHIFT)

    # Pieces.

    def _entries(self, pc: int) -> None:
        a = self._a
        self._later("stale", SiteKind.STALE, pc)
        a.place("page checked")
        self._check_page(self._page)
        a.place("checked")
        if self._other_page != self._page:  # whoever comes knows the first page only
            a.place("plain")
            self._check_page(self._other_page)
        a.code += COMPARE_WORD + word(8 * StateWord.LINE) + word(self._line)
        a.jump(JNE, "fetch")
        if self._other_page == self._page:
            a.place("plain")
        self._pay()
        a.place("body")
        line = self._line

        def fetch() -> None:
            a.place("fetch")
            self._pay()
            a.code += LOAD_EAX + word(8 * StateWord.LINE)
            a.code += STORE_EAX + word(8 * StateWord.PREVIOUS_LINE)
            a.code += STORE_R14 + word(8 * StateWord.MARK)
            self._fetch_record(pc, line)
            a.jump(JMP, "body")

        def budget() -> None:
            a.place("budget")
            a.code += ADD_BUDGET + bytes([self._count])
            self._site(SiteKind.BUDGET, pc, target=emitter.LEAVE)

        self._stubs += [fetch, budget]

    def _check_page(self, page: int) -> None:
        self._a.code += COMPARE_LONG + word(CODE_PAGES_AT + 8 * page) + b"\0"
        self._a.jump(JE, "stale")

    def _pay(self) -> None:
        self._a.code += SUB_BUDGET + bytes([self._count])
        self._a.jump(JS, "budget")

    def _fetch_record(self, pc: int, line: int) -> None:
        """A FETCH record of the line of `pc`, number `line`, or one hit more: see recency."""
        a = self._a
        record = FETCH | pc + self._delta >> LINE_SHIFT << LINE_SHIFT
        entry = recency.entry_at(pc)
        known, on = ("known", len(a.code)), ("on", len(a.code))
        a.code += SET_WORD + word(8 * StateWord.LINE) + word(line)
        if self._translator.recency:
            a.code += COMPARE_WORD + word(entry + 8 * RecentWord.FETCHED) + word(line)
            a.jump(JE, known)
            a.code += SET_WORD + word(entry + 8 * RecentWord.FETCHED) + word(line)
            for place in (RecentWord.LOADABLE, RecentWord.STORABLE):
                a.code += SET_LONG + word(entry + 8 * place) + word(recency.NOT_KNOWN)
        a.code += MOV_RAX + struct.pack("<Q", record) + APPEND_RAX
        if self._translator.recency:
            a.place(on)

            def hit() -> None:
                a.place(known)
                a.code += MOV_RAX + struct.pack("<Q", FETCH_HIT) + ADD_HITS
                a.jump(JMP, on)

            self._stubs.append(hit)

    def _instruction(self, place: int, instruction: Instruction) -> None:
        a = self._a
        line, before = self._line_of(instruction.pc), self._line
        if place:
            self._between(place, instruction)
        self._line = line
        kind = LineKind.ENTRY if place == 0 else LineKind.SAME
        if line != before:
            kind = LineKind.BACK
            self._fetch_record(instruction.pc, line)
        stencil = self._translator.stencil(instruction)
        start = len(a.code)
        a.code += stencil.code
        undone = self._undone(place)
        leaving: dict[str, tuple] = {}
        for patch in stencil.patches:
            self._patch(start, patch, instruction, place, leaving)
        form = self._translator.form_number(instruction.row.name)
        end = a.base + len(a.code)
        for name, label in leaving.items():
            self._later(
                label, SiteKind.INSTRUCTION, instruction.pc, undone=undone, retry=a.base + start,
                line_kind=kind, line=before, form=form, target=name, end=end,
            )  # fmt: skip
        a.place(("end", place))
        if instruction.row.ends and stencil.falls:
            self._link(instruction.pc + instruction.length)

    def _between(self, place: int, instruction: Instruction) -> None:
        """Code between two instructions."""

    def _undone(self, place: int) -> int:
        """Instructions paid for and not executed when instruction `place` is left."""
        return self._count - place

    def _link(self, pc: int) -> None:
        """The block goes on at `pc`: a jump that is patched when the block there is known."""
        at = len(self._a.code) + len(JMP)
        label = self._link_later(pc, at)
        self._a.jump(JMP, label)


class _PacedBlock(_Block):
    """A block that stops before the very instruction where a limit is reached."""

    def _entries(self, pc: int) -> None:
        a = self._a
        self._later("stale", SiteKind.STALE, pc)
        a.place("page checked")
        self._check_page(self._page)
        a.place("checked")
        a.place("plain")
        if self._other_page != self._page:
            self._check_page(self._other_page)
        self._pace()
        self._pay_for(pc)
        a.code += COMPARE_WORD + word(8 * StateWord.LINE) + word(self._line)
        a.jump(JNE, "fetch")
        a.place("body")
        line = self._line

        def fetch() -> None:
            a.place("fetch")
            a.code += LOAD_EAX + word(8 * StateWord.LINE)
            a.code += STORE_EAX + word(8 * StateWord.PREVIOUS_LINE)
            a.code += STORE_R14 + word(8 * StateWord.MARK)
            self._fetch_record(pc, line)
            a.jump(JMP, "body")

        self._stubs.append(fetch)

    def _between(self, place: int, instruction: Instruction) -> None:
        self._pace()
        self._pay_for(instruction.pc)

    def _undone(self, place: int) -> int:
        return 1

    def _pace(self) -> None:
        """Price what is written; what may still be executed is known anew then."""
        a = self._a
        a.code += MOVE_RING + SUBTRACT_LONG + word(8 * StateWord.BUFFER) + OR_HITS
        nothing = ("nothing", len(a.code))
        a.jump(JE, nothing)
        goes_on = a.base + len(a.code) + len(SET_WORD) + 8 + len(JMP) + 4
        a.code += SET_WORD + word(8 * StateWord.PACE_RETURN) + word(goes_on)
        a.jump_to(JMP, self._space.symbols["pace"])
        a.place(nothing)

    def _pay_for(self, pc: int) -> None:
        a = self._a
        label = ("limit", len(a.code))
        a.code += SUB_BUDGET + bytes([1])
        a.jump(JS, label)

        def limit() -> None:
            a.place(label)
            a.code += ADD_BUDGET + bytes([1])
            self._site(SiteKind.BUDGET, pc, target=emitter.LEAVE)

        self._stubs.append(limit)


def next_page(address: int) -> int:
    """Address of the page behind."""
    return (address | PAGE_BYTES - 1) + 1 & 0xFFFF_FFFF_FFFF_FFFF


def page_bytes(physical: np.ndarray, address: int) -> bytes:
    """Code from the physical byte address to the end of its page."""
    return physical[address : address // PAGE_BYTES * PAGE_BYTES + PAGE_BYTES].tobytes()
