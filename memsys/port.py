"""The memory port: consume a core's ring in whatever process calls it, with one and the same
kernel.

A node calls the port at instruction boundaries when exactness needs the price at once; the memory
system's own process drains the same rings while a core runs ahead.  Both work on the shared
hierarchy, never at the same time: see cosim.engine.stream.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import cfunc, types

from cosim.compiled import inner_kernel, kernel, load_acquire, load_word, store_release, store_word
from cosim.engine.stream import CORE_STREAM_BYTES, RING_OFFSET_BYTES, Word
from cosim.errors import MachineError
from memsys import header
from memsys.kernels import consume
from memsys.pointers import records_at, words_at
from memsys.state import MAGIC, WORD_BYTES

STREAM_BYTES = np.uint64(CORE_STREAM_BYTES)
RING_AT = np.uint64(RING_OFFSET_BYTES)
HEAD_AT, TAIL_AT, CYCLES_AT = (
    np.uint64(word * WORD_BYTES) for word in (Word.HEAD, Word.TAIL, Word.CYCLES)
)
STREAMS_AT = np.uint64(WORD_BYTES)  # second word of an argument; the first one is the hierarchy
CHUNK_RECORDS = 1024  # TAIL moves at least this often: a writer never waits for a whole ring


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


@kernel
def watch(argument, cores, rounds):
    """Drain the rings of all cores until nothing came for `rounds` rounds; records consumed.

    argument: u64, host address of the two words that `attach` made.  Also returns when every core
    was looked at `rounds` times, so that the caller can see to its sockets.
    """
    consumed = 0
    for _ in range(rounds):
        for core in range(cores):
            stream = load_word(argument + STREAMS_AT) + np.uint64(core) * STREAM_BYTES
            head = load_acquire(stream + HEAD_AT)
            tail = load_word(stream + TAIL_AT)
            if tail < head:
                drain(argument, np.uint64(core), head)
                consumed += np.int64(head - tail)
    return consumed


def port(argument, core, head, unused):
    """What nodes call: consume ring `core` up to record `head`; its memory cycles so far."""
    return drain(argument, core, head)


@cache
def compiled_port() -> Any:
    """`port` as a C function.  Compiled on demand: importing this module costs nothing."""
    return cfunc(types.uint64(types.uint64, types.uint64, types.uint64, types.uint64), cache=True)(
        port
    )


def attach(hierarchy: np.ndarray, stream: np.ndarray) -> tuple[int, int, object]:
    """(address of the port, address of its first argument, object to keep alive).

    hierarchy, stream: the shared segments as u8, as they are mapped in this process.
    Raises MachineError when the hierarchy has not been built.
    """
    words = hierarchy[:4096].view(np.int64)
    if words[header.MAGIC] != MAGIC or words[header.WORDS] * WORD_BYTES > len(hierarchy):
        raise MachineError(
            "memory port: the hierarchy segment holds no hierarchy; restart the machine"
        )
    argument = np.array([hierarchy.ctypes.data, stream.ctypes.data], dtype=np.uint64)
    function = compiled_port()
    return function.address, argument.ctypes.data, (argument, hierarchy, stream, function)
