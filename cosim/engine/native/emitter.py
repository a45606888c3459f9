"""What the semantics of an instruction are written against: one instruction becomes LLVM IR.

How a form is written.  An ISA package has a table of rows; each names a semantics function

    def add_immediate(e, f):
        result = x(e, "n") + e.immediate("unsigned", "i")
        set_x(e, "d", result)

`e` is an Emitter, `f` the *constant* fields of the instruction (they are part of the stencil's key,
so Python may branch on them); all other fields are *holes*, patched for each use:

- `e.read(kind, field, bits)`, `e.write(kind, field, value)`: a slot of the register file; the ISA's
  HOLES[kind] says at which byte of the state it is.  `e.get(name)`, `e.set(name, value)`: a slot
  that is the same in every instruction (flags).
- `e.immediate(kind, field)`: a number given by HOLES[kind]; -2**30 <= it < 2**30, or `wide=True`.
- `e.load(address, bytes)`, `e.store(address, bytes, value)`: memory, with TLB probe and record.
  An instruction with several accesses probes all of them first (`e.probe`), then does its work, so
  that it can be left and done again as if nothing had happened.
- `e.leave_if(condition)`: rare cases go to Unicorn; nothing may have been written before.
- `e.help_if(condition)`: the ISA's helper puts the state in order; then it begins anew.
- a row that ends a block calls exactly one of `e.jump()`, `e.branch(condition)`,
  `e.jump_indirect(address)` as its last act: *taken* is Instruction.target, *next* the instruction
  behind.

Values are `Value`s: integers of a width, with operators that never mix signs silently: `+ - * & |
^ ~ << >>` (logical), `sar`, `udiv`, `ult`, `slt`, ...  A Python int takes the width of the other
side.  Everything is read before anything is written: two holes may be the same register.

What differs between uses of a form but changes its code (a size, a condition, which instruction set
the flags last) belongs into Instruction.constants.  An ISA whose flags are kept as operands stores
them in named slots; its decoder may look at the whole block (module hook `plan`) to say which kind
of flags a reader sees, and which are dead.

Host registers: state (r12), ring (r13, where the next record goes), budget (r14, instructions
left), hits (r15, references that need no record: recency).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from llvmlite import ir

from cosim.engine.interface import Access
from cosim.engine.native.recency import Recency
from cosim.engine.native.state import (
    JUMP_CACHE_AT,
    JUMP_CACHE_SLOTS,
    TLB_AT,
    TLB_ENTRY_BYTES,
    TLB_SLOTS,
    StateWord,
    TlbWord,
)
from cosim.engine.native.values import Value
from cosim.engine.stream import Kind

VERSION = 3  # of what stencils look like: part of the name of the library on disk

CONVENTION = "preserve_nonecc"
I1, I8, I32, I64, I128 = (ir.IntType(bits) for bits in (1, 8, 32, 64, 128))
F32, F64 = ir.FloatType(), ir.DoubleType()
POINTER = ir.PointerType()
VOID = ir.VoidType()
# state, ring, budget, hits, argument of the exit
PIECE = ir.FunctionType(VOID, [POINTER, POINTER, I64, I64, I64])
PAGE_MASK = -4096
PAGE_SHIFT = 12
# Ranges of holes, as metadata with numbers that llvmlite does not come to.
SMALL, WIDE = 9001, 9002
RANGES = f"""
!{SMALL} = !{{i64 -1073741824, i64 1073741824}}
!{WIDE} = !{{i64 -1, i64 -1}}
"""
NEXT, TAKEN, LEAVE, LOOKUP, HELP = "next", "taken", "leave", "lookup", "slow_help"
SLOW = {Access.READ: "slow_read", Access.WRITE: "slow_write"}


class Hole(ir.GlobalVariable):
    """A symbol whose address is a number to be patched in.  Known to be any number, even 0."""

    def __init__(self, module: ir.Module, name: str, *, wide: bool) -> None:
        super().__init__(module, I8, name)
        self.range = WIDE if wide else SMALL

    def descr(self, buf: list[str]) -> None:
        """The declaration."""
        buf.append(f"external hidden global i8, align 1, !absolute_symbol !{self.range}\n")


def _width(shape: ir.Type) -> int:
    """Bits of a scalar or vector type."""
    if isinstance(shape, ir.VectorType):
        return shape.count * _width(shape.element)
    if isinstance(shape, ir.IntType):
        return shape.width
    return 64 if shape == F64 else 32


class Place:
    """Memory that was probed: bytes from `virtual` on may be accessed.

    delta: physical minus virtual address, host: host minus virtual address.
    """

    def __init__(self, virtual: Value, delta: Value, host: Value) -> None:
        self.virtual = virtual
        self.delta = delta
        self.host = host


class Noted(NamedTuple):
    """The references noted up to the end of a block of the builder: see Emitter.join."""

    block: ir.Block
    ring: ir.Value
    hits: ir.Value


class Emitter:
    """One instruction in the making.  See the module's text."""

    def __init__(
        self,
        module: ir.Module,
        name: str,
        slots: Mapping[str, tuple[int, int]],
        *,
        careful: bool = False,
    ) -> None:
        """slots: named slots of the register file, name -> (byte offset, bits).

        careful: accesses may go over the end of a page; they are made by functions of the runtime.
        """
        self._module = module
        self._careful = careful
        self._slots = slots
        self.function = ir.Function(module, PIECE, name)
        self.function.calling_convention = CONVENTION
        self.function.attributes.add("nounwind")
        for place in (0, 1):
            self.function.args[place].add_attribute("noalias")
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.state, self.ring, self.budget, hits, _ = self.function.args
        self.hits = self.value(hits)
        self._first_ring, self._first_hits = self.ring, self.hits
        self._recency = Recency(self)
        self.ended = False
        self.records = 0  # most that the instruction writes

    # Values.

    def value(self, raw: ir.Value) -> Value:
        """Wrap a value of the builder."""
        return Value(self.b, raw)

    def constant(self, number: int, bits: int = 64) -> Value:
        """A number."""
        return self.value(ir.Constant(ir.IntType(bits), number))

    def call(self, intrinsic: str, result: ir.Type, *arguments: Value) -> Value:
        """Call an LLVM intrinsic, for example llvm.ctlz.i64; Python ints and bools as i1 too."""
        raws = [a.raw if isinstance(a, Value) else ir.Constant(I1, int(a)) for a in arguments]
        kind = ir.FunctionType(result, [raw.type for raw in raws])
        function = self._module.globals.get(intrinsic) or ir.Function(self._module, kind, intrinsic)
        return self.value(self.b.call(function, raws))

    # Holes and registers.

    def _hole(self, name: str) -> ir.Value:
        hole = self._module.globals.get(name) or Hole(self._module, name, wide=False)
        return hole.ptrtoint(I64)

    def immediate(self, kind: str, field: str = "", bits: int = 64, *, wide: bool = False) -> Value:
        """A number of the instruction, as HOLES[kind] gives it."""
        if not wide:
            return self.value(self._hole(f"number:{kind}:{field}")).trunc(bits)
        # LLVM would store the address of a symbol as 32 bits, whatever its range: hide it.
        name = f"wide:{kind}:{field}"
        hole = self._module.globals.get(name) or Hole(self._module, name, wide=True)
        shape = ir.FunctionType(I64, [hole.type])
        raw = self.b.asm(shape, "movabsq $1, $0", "=r,i", [hole], side_effect=False)
        return self.value(raw).trunc(bits)

    def _slot(self, kind: str, field: str) -> ir.Value:
        return self.b.gep(self.state, [self._hole(f"number:{kind}:{field}")], source_etype=I8)

    def read(self, kind: str, field: str, bits: int = 64, shape: ir.Type | None = None) -> Value:
        """The low `bits` of a register, or all of it as another type."""
        shape = shape or ir.IntType(bits)
        return self.value(self.b.load(self._slot(kind, field), typ=shape))

    def write(self, kind: str, field: str, value: Value) -> None:
        """Set a register's low bits; what is above keeps its value."""
        self.b.store(value.raw, self._slot(kind, field))

    def _named(self, name: str) -> ir.Value:
        offset = ir.Constant(I64, self._slots[name][0])
        return self.b.gep(self.state, [offset], source_etype=I8)

    def get(self, name: str, bits: int = 64, shape: ir.Type | None = None) -> Value:
        """The slot called `name`."""
        shape = shape or ir.IntType(bits)
        return self.value(self.b.load(self._named(name), typ=shape))

    def set(self, name: str, value: Value) -> None:
        """Set the slot called `name`."""
        self.b.store(value.raw, self._named(name))

    def pointer(self, name: str) -> Value:
        """Where the slot called `name` is, for intrinsics that want to know."""
        return self.value(self._named(name))

    # Memory.

    def _entry(self, virtual: Value) -> ir.Value:
        shift = PAGE_SHIFT - (TLB_ENTRY_BYTES.bit_length() - 1)
        mask = (TLB_SLOTS - 1) * TLB_ENTRY_BYTES
        offset = ((virtual >> shift) & mask) + TLB_AT
        return self.b.gep(self.state, [offset.raw], source_etype=I8)

    def word_at(self, word: StateWord) -> ir.Value:
        """Where a word of the runtime is."""
        return self.b.gep(self.state, [ir.Constant(I64, 8 * word)], source_etype=I8)

    def _word(self, base: ir.Value, word: int) -> Value:
        at = self.b.gep(base, [ir.Constant(I64, 8 * word)], source_etype=I8)
        return self.value(self.b.load(at, typ=I64))

    def probe(self, virtual: Value, bytes_: int, access: Access = Access.READ) -> Place:
        """Make sure `bytes_` bytes at `virtual` can be accessed here; otherwise leave."""
        if self._careful:
            given = [virtual.raw, self.constant(bytes_).raw, self.constant(access).raw]
            self.leave_if(self._function(StateWord.REACH, given).eq(0))
            zero = self.constant(0)
            return Place(virtual, zero, zero)
        entry = self._entry(virtual)
        tag = self._word(entry, TlbWord.WRITE_TAG if access == Access.WRITE else TlbWord.READ_TAG)
        hit = (((virtual + (bytes_ - 1)) if bytes_ > 1 else virtual) & PAGE_MASK).eq(tag)
        self._unless(hit, SLOW[access], virtual)
        return Place(virtual, self._word(entry, TlbWord.DELTA), self._word(entry, TlbWord.HOST))

    def record(self, place: Place, bytes_: int, kind: Kind, offset: int = 0) -> None:
        """Note a reference to `bytes_` bytes at `offset` of the place: one of each 8."""
        parts = range(0, bytes_, 8)
        self.records += len(parts)
        if not self._careful:
            self._recency.reference(place.virtual + offset, place.delta, bytes_, kind)
            return
        for part in parts:
            given = [self.b.ptrtoint(self.ring, I64), (place.virtual + offset + part).raw]
            given.append(self.constant(min(bytes_, 8) | kind << 8).raw)
            self.ring = self.b.inttoptr(self._function(StateWord.NOTE, given).raw, POINTER)

    def _host(self, place: Place, offset: int) -> ir.Value:
        address = place.virtual + place.host + offset
        return self.b.inttoptr(address.raw, POINTER)

    def fetch_from(self, place: Place, shape: ir.Type, offset: int = 0) -> Value:
        """The value there, without a record."""
        if self._careful:
            self._function(StateWord.GATHER, self._span(place, shape, offset))
            return self.value(self.b.load(self._bounce(), align=1, typ=shape))
        return self.value(self.b.load(self._host(place, offset), align=1, typ=shape))

    def put_to(self, place: Place, value: Value, offset: int = 0) -> None:
        """Write the value there, without a record."""
        if self._careful:
            self.b.store(value.raw, self._bounce(), align=1)
            self._function(StateWord.SCATTER, self._span(place, value.raw.type, offset))
            return
        self.b.store(value.raw, self._host(place, offset), align=1)

    def noted(self) -> Noted:
        """Where the builder is, and what was noted on the way there: for `join`."""
        return Noted(self.b.block, self.ring, self.hits.raw)

    def join(self, *ways: Noted) -> None:
        """Several ways come together here, before anything else."""
        ring, hits = self.b.phi(self.ring.type), self.b.phi(I64)
        for way in ways:
            ring.add_incoming(way.ring, way.block)
            hits.add_incoming(way.hits, way.block)
        self.ring, self.hits = ring, self.value(hits)

    # Careful accesses.

    def _function(self, word: StateWord, given: list[ir.Value]) -> Value:
        """Call a function of the runtime: state and three numbers."""
        given = [*given, *[ir.Constant(I64, 0)] * (3 - len(given))]
        function = self._word(self.state, word)
        shape = ir.FunctionType(I64, [POINTER, I64, I64, I64])
        pointer = self.b.inttoptr(function.raw, shape.as_pointer())
        return self.value(self.b.call(pointer, [self.state, *given]))

    def _bounce(self) -> ir.Value:
        return self.word_at(StateWord.BOUNCE)

    def _span(self, place: Place, shape: ir.Type, offset: int) -> list[ir.Value]:
        size = _width(shape) // 8
        return [(place.virtual + offset).raw, self.constant(size).raw]

    def load(self, virtual: Value, bytes_: int, kind: Kind = Kind.LOAD) -> Value:
        """Load an integer of 1, 2, 4 or 8 bytes; 16 bytes are two records."""
        place = self.probe(virtual, bytes_)
        return self.load_at(place, bytes_, kind=kind)

    def load_at(self, place: Place, bytes_: int, offset: int = 0, kind: Kind = Kind.LOAD) -> Value:
        """The same from a place that was probed."""
        self.record(place, bytes_, kind, offset)
        return self.fetch_from(place, ir.IntType(8 * bytes_), offset)

    def store(self, virtual: Value, bytes_: int, value: Value) -> None:
        """Store an integer of 1, 2, 4 or 8 bytes; 16 bytes are two records."""
        self.store_at(self.probe(virtual, bytes_, Access.WRITE), bytes_, value)

    def store_at(self, place: Place, bytes_: int, value: Value, offset: int = 0) -> None:
        """The same to a place that was probed."""
        self.record(place, bytes_, Kind.STORE, offset)
        self.put_to(place, value, offset)

    # Leaving.

    def _continue(self, name: str) -> ir.Function:
        found = self._module.globals.get(name)
        if found is None:
            found = ir.Function(self._module, PIECE, name)
            found.calling_convention = CONVENTION
        return found

    def _go(self, target: Any, argument: Value | None = None, *, undone: bool = False) -> None:
        """undone: the records of this instruction are taken back."""
        ring, hits = self.ring, self.hits
        if undone:
            ring, hits = self._first_ring, self._first_hits
            self._recency.forget()
        undefined = ir.Constant(I64, ir.Undefined)
        given = [
            self.state, ring, self.budget, hits.raw, argument.raw if argument else undefined
        ]  # fmt: skip
        self.b.call(target, given, cconv=CONVENTION, tail="musttail")
        self.b.ret_void()

    def _unless(self, condition: Value, name: str, argument: Value | None = None) -> None:
        """Go on if the condition holds, else to the exit `name`."""
        on = self.b.append_basic_block("on")
        out = self.b.append_basic_block("out")
        branch = self.b.cbranch(condition.raw, on, out)
        branch.set_weights([2000, 1])
        self.b.position_at_end(out)
        self._go(self._continue(name), argument, undone=name != LOOKUP)
        self.b.position_at_end(on)

    def leave_if(self, condition: Value) -> None:
        """Let Unicorn execute this instruction when the condition holds."""
        self._unless(~condition, LEAVE)

    def help_if(self, condition: Value) -> None:
        """Let the ISA's helper put the state in order when the condition holds; then once more."""
        self._unless(~condition, HELP)

    def next_if(self, condition: Value) -> None:
        """Nothing is to be done when the condition holds: go to *next*."""
        self._unless(~condition, NEXT)

    def jump(self) -> None:
        """The block ends: go to *taken*."""
        self._go(self._continue(TAKEN))
        self.ended = True

    def branch(self, condition: Value) -> None:
        """The block ends: go to *taken* if the condition holds, else to *next*."""
        taken = self.b.append_basic_block("taken")
        other = self.b.append_basic_block("other")
        self.b.cbranch(condition.raw, taken, other)
        for block, name in ((taken, TAKEN), (other, NEXT)):
            self.b.position_at_end(block)
            self._go(self._continue(name))
        self.ended = True

    def jump_indirect(self, address: Value) -> None:
        """The block ends: go to the guest address."""
        index = (address >> 2) ^ (address >> 12)
        offset = ((index & (JUMP_CACHE_SLOTS - 1)) << 4) + JUMP_CACHE_AT
        entry = self.b.gep(self.state, [offset.raw], source_etype=I8)
        self._unless(self._word(entry, 0).eq(address), LOOKUP, address)
        code = self._word(entry, 1)
        self._go(self.b.inttoptr(code.raw, PIECE.as_pointer()))
        self.ended = True

    def finish(self) -> None:
        """The instruction's end: go on with the next piece."""
        if not self.ended:
            self._go(self._continue(NEXT))
