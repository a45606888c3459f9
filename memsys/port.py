"""The memory port: consume a core's ring in whatever process calls it, with one and the same
kernel.

A node calls the port at instruction boundaries when exactness needs the price at once; the memory
system's own process drains the same rings while a core runs ahead, and a node that would have to
wait for it helps.  All work on the shared hierarchy, never at the same time: in inline mode nothing
is published, and published records belong to whoever holds the stream's word CONSUMING.

Further memory systems (memsys.variants) are fed the same records just before, through a function of
their own.  A machine that has some calls another port, so that the others' port is what it was: one
test in `drain` made a call of one record 7 ns slower.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import cfunc, types

from cosim.compiled import (
    call_pointer,
    call_pointer4,
    exchange_acquire,
    inner_kernel,
    kernel,
    load_acquire,
    load_word,
    store_release,
    store_word,
)
from cosim.engine.stream import (
    CORE_STREAM_BYTES,
    RING_OFFSET_BYTES,
    RING_RECORDS,
    Alongside,
    Word,
)
from cosim.errors import MachineError
from memsys import header, variants
from memsys.kernels import consume
from memsys.pointers import records_at, words_at
from memsys.state import MAGIC, WORD_BYTES

STREAM_BYTES = np.uint64(CORE_STREAM_BYTES)
RING_AT = np.uint64(RING_OFFSET_BYTES)
HEAD_AT, TAIL_AT, CYCLES_AT, CONSUMING_AT = (
    np.uint64(word * WORD_BYTES) for word in (Word.HEAD, Word.TAIL, Word.CYCLES, Word.CONSUMING)
)
PORT = types.uint64(types.uint64, types.uint64, types.uint64, types.uint64)
NO_FUNCTION = np.uint64(0)
NOBODY = np.uint64(Alongside.NOBODY)
FREE, TAKEN = np.uint64(0), np.uint64(1)
# Words of an argument behind the hierarchy's address: the streams', that of what feeds further
# memory systems, or 0, that of its own argument, and that of `port`.
STREAMS_AT, FEED_AT, FED_AT, PORT_AT = (np.uint64(number * WORD_BYTES) for number in range(1, 5))
CHUNK_RECORDS = 1024  # TAIL moves at least this often: a writer never waits for a whole ring
RING_CHUNKS = RING_RECORDS // CHUNK_RECORDS
# A look at empty rings costs as much as a record.  Without pauses the memory system used as much of
# the host as the engine, 84 % of it for looking; 100 M records/s fill a third of a ring meanwhile.
PAUSE_US = np.uint64(100)
PAUSE_BELOW_RECORDS = RING_RECORDS // 8  # more found at one look: the core is fast


@inner_kernel
def drain(argument, core, head):
    """Consume a core's ring up to record `head`; its memory cycles so far.  All u64."""
    words = load_word(argument)
    stream = load_word(argument + STREAMS_AT) + core * STREAM_BYTES
    cycles = load_word(stream + CYCLES_AT)
    tail = np.int64(load_word(stream + TAIL_AT))
    while tail < np.int64(head):
        last = min(tail + CHUNK_RECORDS, np.int64(head))
        cycles += np.uint64(
            consume(words_at(words), np.int64(core), records_at(stream + RING_AT), tail, last)
        )
        tail = last
        store_word(stream + CYCLES_AT, cycles)
        store_release(stream + TAIL_AT, np.uint64(tail))
    return cycles


@inner_kernel
def feed_others(argument, core, head):
    """Have further memory systems serve a core's records up to `head`.  All u64."""
    ring = load_word(argument + STREAMS_AT) + core * STREAM_BYTES + RING_AT
    call_pointer4(load_word(argument + FEED_AT), load_word(argument + FED_AT), core, ring, head)


@inner_kernel
def share(argument, core, head):
    """Consume up to CHUNK_RECORDS published records below `head`; how many.

    0 also when somebody else is at it, who may have been sent away by the host in the middle.
    """
    stream = load_word(argument + STREAMS_AT) + core * STREAM_BYTES
    if (
        load_word(stream + TAIL_AT) >= head
        or exchange_acquire(stream + CONSUMING_AT, TAKEN) != FREE
    ):
        return 0
    tail = np.int64(load_word(stream + TAIL_AT))
    last = min(tail + CHUNK_RECORDS, np.int64(head))
    if tail < last:
        if load_word(argument + FEED_AT) != NO_FUNCTION:
            feed_others(argument, core, np.uint64(last))
        drain(argument, core, np.uint64(last))
    store_release(stream + CONSUMING_AT, FREE)
    return max(last - tail, 0)


@kernel
def watch(argument, cores, rounds, usleep):
    """Look at the rings of all cores `rounds` times and consume what is published; how many.

    argument: u64, host address of the two words that `attach` made.  usleep: u64, host address of
    the C function that is called for PAUSE_US when a look found little.
    """
    consumed = 0
    for _ in range(rounds):
        most = 0
        for core in range(cores):
            stream = load_word(argument + STREAMS_AT) + np.uint64(core) * STREAM_BYTES
            found = np.int64(0)
            for _ in range(RING_CHUNKS):
                done = share(argument, np.uint64(core), load_acquire(stream + HEAD_AT))
                found += done
                if done < CHUNK_RECORDS:
                    break
            most = max(most, found)
            consumed += found
        if most < PAUSE_BELOW_RECORDS:
            call_pointer(usleep, PAUSE_US)
    return consumed


def port(argument, core, head, alongside):
    """What nodes call: consume ring `core` up to record `head`; its memory cycles so far.

    alongside: who else may be at it, see cosim.engine.stream.Alongside.
    """
    if alongside != NOBODY:
        share(argument, core, head)
        return load_word(load_word(argument + STREAMS_AT) + core * STREAM_BYTES + CYCLES_AT)
    return drain(argument, core, head)


def fed_port(argument, core, head, alongside):
    """`port` in a machine with further memory systems."""
    if alongside == NOBODY:
        feed_others(argument, core, head)
    return call_pointer4(load_word(argument + PORT_AT), argument, core, head, alongside)


@cache
def compiled_port() -> Any:
    """`port` as a C function.  Compiled on demand: importing this module costs nothing."""
    return cfunc(PORT, cache=True)(port)


@cache
def compiled_fed_port() -> Any:
    """`fed_port` as a C function."""
    return cfunc(PORT, cache=True)(fed_port)


def attach(
    hierarchy: np.ndarray, stream: np.ndarray, also: np.ndarray | None = None
) -> tuple[int, int, object]:
    """(address of the port, address of its first argument, object to keep alive).

    hierarchy, stream: the shared segments as u8, as they are mapped in this process.  also: that of
    memsys.variants, if there is one.
    Raises MachineError when the hierarchy has not been built.
    """
    words = hierarchy[:4096].view(np.int64)
    if words[header.MAGIC] != MAGIC or words[header.WORDS] * WORD_BYTES > len(hierarchy):
        raise MachineError(
            "memory port: the hierarchy segment holds no hierarchy; restart the machine"
        )
    own = called = compiled_port()
    feed, fed, kept = 0, 0, None
    if also is not None:
        feed, fed, kept = variants.attach(also)
        called = compiled_fed_port()
    given = [hierarchy.ctypes.data, stream.ctypes.data, feed, fed, own.address]
    argument = np.array(given, dtype=np.uint64)
    keep_alive = (argument, hierarchy, stream, kept, own, called)
    return called.address, argument.ctypes.data, keep_alive
