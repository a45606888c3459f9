"""Rows of sixteen ways: the vector operations that cache sets are made of.

A row is one cache line of the host: sixteen words of 32 bits, most recently used first.  Search,
promotion, insertion and removal are each a handful of instructions without a branch (compare; take
lanes from the row or from the row shifted by one).  LLVM maps the lanes to whatever vectors the
host has, so results cannot depend on them.  Words are i64 for their users, zero-extended.

h: pointer to the hierarchy's i64 words; an index counts 32-bit words from the same place.
"""

from llvmlite import ir

from cosim.compiled import intrinsic, types

LANES = 16
NEAR_LANES = 8  # half a row: enough to find most hits in, at half the price
LANE = ir.IntType(32)
WORD = ir.IntType(64)
ALIGN = 4  # private hierarchies lie anywhere; aligned ones lose nothing by it


class _WholeStore(ir.StoreInstr):
    """A store that stays one store: volatile.

    Of load, select and store to one place LLVM makes a store of the chosen lanes alone, and a host
    that reads the row soon after waits until that has left its store buffer, some 20 cycles.
    """

    def descr(self, buf: list[str]) -> None:
        parts: list[str] = []
        super().descr(parts)
        buf.append("".join(parts).replace("store ", "store volatile ", 1))


def _row(lanes):
    return ir.VectorType(LANE, lanes)


def _constant(numbers):
    return ir.Constant(_row(len(numbers)), [ir.Constant(LANE, number) for number in numbers])


def _at(builder, h, index, kind):
    words = builder.bitcast(h, LANE.as_pointer())
    return builder.bitcast(builder.gep(words, [index]), kind.as_pointer())


def _narrow(builder, word):
    return builder.trunc(word, LANE)


def _splat(builder, word, lanes):
    nothing = ir.Constant(_row(lanes), ir.Undefined)
    first = builder.insert_element(nothing, _narrow(builder, word), ir.Constant(LANE, 0))
    return builder.shuffle_vector(first, nothing, _constant([0] * lanes))


def _change(builder, h, first, lane, compare, other, lanes=LANES):
    """Store the row at `first` with the lanes `compare` lane taken from other(row)."""
    place = _at(builder, h, first, _row(lanes))
    row = builder.load(place, align=ALIGN)
    chosen = builder.icmp_unsigned(compare, _constant(range(lanes)), _splat(builder, lane, lanes))
    changed = _WholeStore(builder.block, builder.select(chosen, other(row), row), place)
    changed.align = ALIGN
    builder._insert(changed)


@intrinsic
def get_word(typingctx, h, index):
    """The word at `index`."""

    def codegen(context, builder, signature, args):
        place = _at(builder, args[0], args[1], LANE)
        return builder.zext(builder.load(place, align=ALIGN), WORD)

    return types.int64(h, types.int64), codegen


@intrinsic
def put_word(typingctx, h, index, word):
    """Replace the word at `index`."""

    def codegen(context, builder, signature, args):
        h, index, word = args
        lane = builder.and_(index, ir.Constant(WORD, LANES - 1))
        first = builder.sub(index, lane)
        _change(builder, h, first, lane, "==", lambda row: _splat(builder, word, LANES))
        return context.get_dummy_value()

    return types.void(h, types.int64, types.int64), codegen


@intrinsic
def set_word(typingctx, h, index, word):
    """`put_word` for a row that is not looked at soon: a store of four bytes, see _WholeStore."""

    def codegen(context, builder, signature, args):
        h, index, word = args
        builder.store(_narrow(builder, word), _at(builder, h, index, LANE), align=ALIGN)
        return context.get_dummy_value()

    return types.void(h, types.int64, types.int64), codegen


@intrinsic
def prefetch(typingctx, h, index):
    """Have the host bring the row at `index` near."""

    def codegen(context, builder, signature, args):
        byte = ir.IntType(8).as_pointer()
        place = builder.bitcast(_at(builder, args[0], args[1], LANE), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, LANE, LANE, LANE])
        function = builder.module.globals.get("llvm.prefetch.p0i8") or ir.Function(
            builder.module, kind, "llvm.prefetch.p0i8"
        )
        to_write, stay, data = (ir.Constant(LANE, number) for number in (1, 3, 1))
        builder.call(function, [place, to_write, stay, data])
        return context.get_dummy_value()

    return types.void(h, types.int64), codegen


def _match(lanes):
    def match(typingctx, h, first, key, low, span):
        def codegen(context, builder, signature, args):
            row = builder.load(_at(builder, args[0], args[1], _row(lanes)), align=ALIGN)
            key, low, span = (_splat(builder, arg, lanes) for arg in args[2:])
            flags = builder.sub(builder.xor(row, key), low)
            chosen = builder.icmp_unsigned("<", flags, span)
            return builder.zext(builder.bitcast(chosen, ir.IntType(lanes)), WORD)

        return types.int64(h, *[types.int64] * 4), codegen

    return match


# Mask (bit n: lane n) of the words of the (half) row at `first` that are at least key + low and
# less than key + low + span.  The low bits of key are 0, low and span are not.
match_row = intrinsic(_match(LANES))
match_near = intrinsic(_match(NEAR_LANES))


@intrinsic
def first_lane(typingctx, mask):
    """Number of the lowest bit set in `mask`, which is not 0."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), codegen


def _push(lanes):
    order = _constant([0, *range(lanes, 2 * lanes - 1)])

    def push(typingctx, h, first, lane, word):
        def codegen(context, builder, signature, args):
            h, first, lane, word = args
            front = _splat(builder, word, lanes)

            def shifted(row):
                return builder.shuffle_vector(front, row, order)

            _change(builder, h, first, lane, "<=", shifted, lanes)
            return context.get_dummy_value()

        return types.void(h, *[types.int64] * 3), codegen

    return push


# Put `word` before the (half) row at `first` and close the gap at `lane`: what was there is gone.
push_row = intrinsic(_push(LANES))
push_near = intrinsic(_push(NEAR_LANES))


@intrinsic
def push_whole(typingctx, h, first, word):
    """`push_row` over the last lane."""

    def codegen(context, builder, signature, args):
        h, first, word = args
        place = _at(builder, h, first, _row(LANES))
        row = builder.load(place, align=ALIGN)
        order = _constant([0, *range(LANES, 2 * LANES - 1)])
        shifted = builder.shuffle_vector(_splat(builder, word, LANES), row, order)
        builder.store(shifted, place, align=ALIGN)
        return context.get_dummy_value()

    return types.void(h, types.int64, types.int64), codegen


@intrinsic
def pull_row(typingctx, h, first, lane, word):
    """Close the gap at `lane` from behind, and put `word` at the end of the row at `first`."""

    def codegen(context, builder, signature, args):
        h, first, lane, word = args
        order = _constant(range(1, LANES + 1))
        back = _splat(builder, word, LANES)
        _change(builder, h, first, lane, ">=", lambda row: builder.shuffle_vector(row, back, order))
        return context.get_dummy_value()

    return types.void(h, *[types.int64] * 3), codegen
