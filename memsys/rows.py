"""Rows of eight ways: the vector operations that cache sets are made of.

A row is 256 bits, eight words of 32 bits, most recently used first: search, promotion, insertion
and removal are each a handful of instructions without a branch (compare; select between the row and
the row shifted by one).  LLVM maps the eight lanes to whatever the host's vectors are, so results
cannot depend on them.  Words are i64 for their users, zero-extended.

h: pointer to the hierarchy's i64 words; indices count 32-bit words from the same place.
"""

from llvmlite import ir

from cosim.compiled import intrinsic, types

LANES = 8
LANE = ir.IntType(32)
ROW = ir.VectorType(LANE, LANES)
MASK = ir.IntType(LANES)
WORD = ir.IntType(64)
WORD_ALIGN, ROW_ALIGN = 4, 4  # private hierarchies lie anywhere; aligned ones lose nothing by it
IOTA = ir.Constant(ROW, [ir.Constant(LANE, lane) for lane in range(LANES)])


def _at(builder, h, index, kind):
    words = builder.bitcast(h, LANE.as_pointer())
    return builder.bitcast(builder.gep(words, [index]), kind.as_pointer())


def _splat(builder, word):
    first = builder.insert_element(ir.Constant(ROW, ir.Undefined), word, ir.Constant(LANE, 0))
    zeroes = ir.Constant(ir.VectorType(LANE, LANES), [ir.Constant(LANE, 0)] * LANES)
    return builder.shuffle_vector(first, ir.Constant(ROW, ir.Undefined), zeroes)


def _order(*lanes):
    return ir.Constant(ROW, [ir.Constant(LANE, lane) for lane in lanes])


def _narrow(builder, word):
    return builder.trunc(word, LANE)


@intrinsic
def get_word(typingctx, h, index):
    """The word at `index`."""

    def codegen(context, builder, signature, args):
        found = builder.load(_at(builder, args[0], args[1], LANE), align=WORD_ALIGN)
        return builder.zext(found, WORD)

    return types.int64(h, types.int64), codegen


@intrinsic
def put_word(typingctx, h, index, word):
    """Replace the word at `index`, by writing its whole row: a row that is read soon after a store
    of one word has to wait until the store has left the host's store buffer (20 cycles).
    """

    def codegen(context, builder, signature, args):
        lane = builder.and_(args[1], ir.Constant(WORD, LANES - 1))
        place = _at(builder, args[0], builder.sub(args[1], lane), ROW)
        row = builder.load(place, align=ROW_ALIGN)
        changed = builder.icmp_unsigned("==", IOTA, _splat(builder, _narrow(builder, lane)))
        word = _splat(builder, _narrow(builder, args[2]))
        builder.store(builder.select(changed, word, row), place, align=ROW_ALIGN)
        return context.get_dummy_value()

    return types.void(h, types.int64, types.int64), codegen


@intrinsic
def match_row(typingctx, h, first, key, low, span):
    """Mask (bit n: lane n) of the words of the row at `first` that are key + low up to, not
    including, key + low + span; 0 < low, and the low bits of key are 0.
    """

    def codegen(context, builder, signature, args):
        row = builder.load(_at(builder, args[0], args[1], ROW), align=ROW_ALIGN)
        key, low, span = (_splat(builder, _narrow(builder, arg)) for arg in args[2:])
        flags = builder.sub(builder.xor(row, key), low)
        return builder.zext(builder.bitcast(builder.icmp_unsigned("<", flags, span), MASK), WORD)

    return types.int64(h, *[types.int64] * 4), codegen


@intrinsic
def first_lane(typingctx, mask):
    """Number of the lowest bit set in `mask`, which is not 0."""

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), codegen


@intrinsic
def push_row(typingctx, h, first, lane, word):
    """Put `word` before the row at `first` and close the gap at `lane`: what was there is gone."""

    def codegen(context, builder, signature, args):
        place = _at(builder, args[0], args[1], ROW)
        row = builder.load(place, align=ROW_ALIGN)
        front = _splat(builder, _narrow(builder, args[3]))
        shifted = builder.shuffle_vector(front, row, _order(0, *range(LANES, 2 * LANES - 1)))
        moved = builder.icmp_unsigned("<=", IOTA, _splat(builder, _narrow(builder, args[2])))
        builder.store(builder.select(moved, shifted, row), place, align=ROW_ALIGN)
        return context.get_dummy_value()

    return types.void(h, *[types.int64] * 3), codegen


@intrinsic
def pull_row(typingctx, h, first, lane, word):
    """Close the gap at `lane` from behind, and put `word` at the end of the row at `first`."""

    def codegen(context, builder, signature, args):
        place = _at(builder, args[0], args[1], ROW)
        row = builder.load(place, align=ROW_ALIGN)
        back = _splat(builder, _narrow(builder, args[3]))
        shifted = builder.shuffle_vector(row, back, _order(*range(1, LANES + 1)))
        moved = builder.icmp_unsigned(">=", IOTA, _splat(builder, _narrow(builder, args[2])))
        builder.store(builder.select(moved, shifted, row), place, align=ROW_ALIGN)
        return context.get_dummy_value()

    return types.void(h, *[types.int64] * 3), codegen
