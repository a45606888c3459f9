"""Arrays for compiled code as bare pointers.

A kernel that is handed a numpy array gets seven values and keeps a reference count; with fifty
small kernels calling each other that was four fifths of the time.  A pointer is one value.  It is
indexed like an array, so the same source also runs uncompiled on numpy arrays (`kernel.py_func`).
"""

from cosim.compiled import intrinsic, ir, types


def _pointer(builder, address):
    return builder.inttoptr(address, ir.PointerType(ir.IntType(64)))


@intrinsic
def words_at(typingctx, address):
    """The i64 words at a host address (u64)."""

    def codegen(context, builder, signature, args):
        return _pointer(builder, args[0])

    return types.CPointer(types.int64)(types.uint64), codegen


@intrinsic
def records_at(typingctx, address):
    """The u64 words at a host address (u64)."""

    def codegen(context, builder, signature, args):
        return _pointer(builder, args[0])

    return types.CPointer(types.uint64)(types.uint64), codegen


@intrinsic
def bytes_at(typingctx, address):
    """The u8 at a host address (u64)."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], ir.PointerType(ir.IntType(8)))

    return types.CPointer(types.uint8)(types.uint64), codegen
