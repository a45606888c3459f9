"""What kernel work costs: instructions per primitive, one row each, with the source of the number.

The rows price the *instructions* of a primitive; the memory references it makes are charged apart,
one by one, by KernelMemory.  "estimate" means: counted roughly from the shape of the Linux code
path, not measured. A setting `kernel.costs.<name>` replaces a number.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Cost(NamedTuple):
    """One row: instructions charged each time, where the number is from, what the primitive
    covers.
    """

    instructions: int
    source: str
    meaning: str


ESTIMATE = "estimate"
# Time of 2^20 pages less that of 2^19, per page: 223 and 53 ns offline, 60 and 73 ns online on x86
# and Arm; at 2.1 and 2.0 GHz a mean of 288 and 136 cycles, of which 75 are our own references.
TABLE_4 = "estimate from the paper, Table 4"

# fmt: off
COSTS: dict[str, Cost] = {
    # entering and leaving the kernel
    "system_call":       Cost(120, ESTIMATE, "entry, register save, dispatch and exit of one call"),
    "page_fault":        Cost(350, ESTIMATE, "exception entry and exit, decoding, accounting"),
    "exception":         Cost(250, ESTIMATE, "entry and exit of any other synchronous exception"),
    "interrupt":         Cost(200, ESTIMATE, "entry, acknowledge and exit of one interrupt"),
    # memory
    "vma_step":          Cost(6,   ESTIMATE, "one node visited in a tree of virtual memory areas"),
    "vma_change":        Cost(150, ESTIMATE, "insert, remove or edit one area, with its checks"),
    "table_step":        Cost(7,   ESTIMATE, "one level of a software page-table walk"),
    "table_edit":        Cost(12,  ESTIMATE, "compose and write one page-table entry"),
    "frame_allocate":    Cost(60,  ESTIMATE, "take one frame from the allocator"),
    "frame_free":        Cost(50,  ESTIMATE, "give one frame back"),
    "frame_offline":     Cost(210, TABLE_4,  "isolate one frame of a block that is given away"),
    "frame_online":      Cost(60,  TABLE_4,  "initialise one frame of a block that is gained"),
    "zero_line":         Cost(4,   ESTIMATE, "clear 64 bytes with 16-byte stores"),
    "copy_line":         Cost(8,   ESTIMATE, "copy 64 bytes with 16-byte loads and stores"),
    "slab_operation":    Cost(30,  ESTIMATE, "allocate or free one small kernel structure"),
    "lock_operation":    Cost(8,   ESTIMATE, "take or release a free spinlock"),
    "tlb_flush":         Cost(80,  ESTIMATE, "invalidate translations on the own core"),
    "exec":              Cost(20000, ESTIMATE, "set up a new program image, without its pages"),
    # tasks
    "context_switch":    Cost(300, ESTIMATE, "save one thread, restore another"),
    "scheduler_pick":    Cost(80,  ESTIMATE, "choose the next thread of a core"),
    "scheduler_place":   Cost(40,  ESTIMATE, "compare cores for a thread, where there are several"),
    "scheduler_enqueue": Cost(60,  ESTIMATE, "make a thread runnable or put it to sleep"),
    "task_create":       Cost(3000, ESTIMATE, "clone: copy and register a task"),
    "task_exit":         Cost(2000, ESTIMATE, "take a task apart"),
    "futex_operation":   Cost(120, ESTIMATE, "hash, key and bucket bookkeeping of one futex call"),
    "futex_waiter":      Cost(25,  ESTIMATE, "one waiter examined, queued or woken"),
    "signal_deliver":    Cost(500, ESTIMATE, "build a signal frame on the user stack"),
    "signal_return":     Cost(200, ESTIMATE, "take a signal frame down"),
    "timer_operation":   Cost(100, ESTIMATE, "arm, cancel or expire one timer"),
    # between cores
    "ipi_send":          Cost(60,  ESTIMATE, "compose the native interrupt command and write it"),
    "ipi_receive":       Cost(120, ESTIMATE, "read which function was asked for and dispatch it"),
    "message_send":      Cost(200, ESTIMATE, "compose a message, put it into a ring (bytes apart)"),
    "message_receive":   Cost(150, ESTIMATE, "take a message out of a ring and dispatch it"),
    "dsm_event":         Cost(500, ESTIMATE, "serialise and look up one page-protocol event"),
    "migration":         Cost(1500, ESTIMATE, "hand a thread to another kernel, or take one in"),
    # files
    "file_operation":    Cost(250, ESTIMATE, "one read, write, seek or status call on a file"),
    "path_component":    Cost(150, ESTIMATE, "look one component of a path up"),
    "file_page":         Cost(400, ESTIMATE, "find one page of a file in the page cache"),
    "clock_read":        Cost(40,  ESTIMATE, "read the clock in the kernel and convert it"),
}
# fmt: on


def resolve(settings: Mapping[str, int | str | bool]) -> dict[str, int]:
    """Instructions by primitive, with `kernel.costs.<name>` of the resolved settings taking
    precedence.
    """
    return {
        name: int(settings.get(f"kernel.costs.{name}", cost.instructions))
        for name, cost in COSTS.items()
    }
