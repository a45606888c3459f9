"""How hot code is compiled: the @kernel decorator, its cache folder, and the few machine operations
numba lacks.

The cache folder is named by a digest of the sources that are compiled: with `cache=True` numba
watches only a function's own file, so a constant changed in another module would otherwise leave
the old value in use.
"""

import hashlib
import os
import sys
from pathlib import Path

SOURCE_ROOT = Path(__file__).resolve().parent.parent
# Patterns: x86-64's flags are compiled, with places of registers from other modules in the code.
PACKAGES = ("cosim", "isa_*", "launch/differential", "memsys")


def sources_digest(root: Path) -> str:
    """Names the cache folder: of all sources below `root` that compiled code depends on."""
    digest = hashlib.sha256(sys.version.encode())
    for package in PACKAGES:
        for path in sorted(root.glob(f"{package}/**/*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_root() -> Path:
    """Folder for everything that is compiled once: numba code, guest programs, libc builds."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("STRAMASH_CACHE", Path(base) / "stramash"))


if "NUMBA_CACHE_DIR" not in os.environ:
    os.environ["NUMBA_CACHE_DIR"] = str(cache_root() / f"numba-{sources_digest(SOURCE_ROOT)}")

import numba  # noqa: E402  (the cache folder must be named first)
from llvmlite import ir  # noqa: E402
from numba import types  # noqa: E402
from numba.extending import intrinsic  # noqa: E402

# Numba may have been imported before us (a test, a notebook), without the folder's name.
numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]  # type: ignore[attr-defined]

kernel = numba.njit(cache=True, nogil=True, error_model="numpy")
inline_kernel = numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
# Called by other kernels only: without the wrappers for Python and C it compiles faster.
inner_kernel = numba.njit(
    cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
)

U64 = ir.IntType(64)


def _word_pointer(builder, address):
    return builder.inttoptr(address, ir.PointerType(U64))


@intrinsic
def load_acquire(typingctx, address):
    """The u64 at `address`, with acquire order."""

    def codegen(context, builder, signature, args):
        return builder.load_atomic(_word_pointer(builder, args[0]), "acquire", 8)

    return types.uint64(types.uint64), codegen


@intrinsic
def store_release(typingctx, address, value):
    """Write the u64 `value` at `address`, with release order."""

    def codegen(context, builder, signature, args):
        builder.store_atomic(args[1], _word_pointer(builder, args[0]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), codegen


@intrinsic
def exchange_acquire(typingctx, address, value):
    """Write the u64 `value` at `address`, with acquire order; what was there."""

    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("xchg", _word_pointer(builder, args[0]), args[1], "acquire")

    return types.uint64(types.uint64, types.uint64), codegen


@intrinsic
def exchange_sequential(typingctx, address, value):
    """Write the u64 `value` at `address`, in one order with all such writes; what was there."""

    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("xchg", _word_pointer(builder, args[0]), args[1], "seq_cst")

    return types.uint64(types.uint64, types.uint64), codegen


@intrinsic
def load_word(typingctx, address):
    """The u64 at `address` (plain load)."""

    def codegen(context, builder, signature, args):
        return builder.load(_word_pointer(builder, args[0]))

    return types.uint64(types.uint64), codegen


@intrinsic
def load_unaligned(typingctx, address):
    """The u64 at `address`, which may be any byte address (plain load)."""

    def codegen(context, builder, signature, args):
        return builder.load(_word_pointer(builder, args[0]), align=1)

    return types.uint64(types.uint64), codegen


@intrinsic
def store_word(typingctx, address, value):
    """Write the u64 `value` at `address` (plain store)."""

    def codegen(context, builder, signature, args):
        builder.store(args[1], _word_pointer(builder, args[0]))
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), codegen


@intrinsic
def store_byte(typingctx, address, value):
    """Write the low byte of the u64 `value` at `address` (plain store)."""

    def codegen(context, builder, signature, args):
        byte = ir.IntType(8)
        pointer = builder.inttoptr(args[0], ir.PointerType(byte))
        builder.store(builder.trunc(args[1], byte), pointer)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), codegen


@intrinsic
def call_pointer(typingctx, function, argument):
    """Call the C function at address `function` with one u64 argument; its u64 result."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(U64, [U64])
        return builder.call(builder.inttoptr(args[0], ir.PointerType(kind)), [args[1]])

    return types.uint64(types.uint64, types.uint64), codegen


@intrinsic
def call_pointer4(typingctx, function, a, b, c, d):
    """Call the C function at address `function` with four u64 arguments; its u64 result."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(U64, [U64] * 4)
        return builder.call(builder.inttoptr(args[0], ir.PointerType(kind)), list(args[1:]))

    return types.uint64(
        types.uint64, types.uint64, types.uint64, types.uint64, types.uint64
    ), codegen
