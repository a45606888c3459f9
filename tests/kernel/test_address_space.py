"""Does an address space behave as Linux', call by call?"""

import numpy as np
import pytest

from cosim.engine.interface import Access
from cosim.kernel.address_space import AddressSpace
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.layout import ADDRESS_SPACE, DIRECTORY, FrameUse
from cosim.kernel.mapping import (
    BUS_ADRERR,
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    MMAP_BASE,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    SEGV_ACCERR,
    SEGV_MAPERR,
    SIGBUS,
    SIGKILL,
    SIGSEGV,
    STACK_BYTES_MAX,
    STACK_TOP,
    USER_END,
    Signal,
)
from cosim.units import PAGE_BYTES, GiB, MiB
from tests.kernel.fakes import FORMATS, WALKS, FakeFile, FakeKernel

PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS
RW = 3
AT = 0x1000_0000


@pytest.fixture(params=FORMATS, ids=lambda f: f"{f[0]}-{f[1]}")
def kernel(request):
    return FakeKernel(*request.param)


@pytest.fixture
def space(kernel):
    return AddressSpace(kernel)


def ranges(space):
    return [(a.start, a.end, a.protection) for a in space.areas()]


def refused(errno, call, *arguments):
    with pytest.raises(KernelError) as caught:
        call(*arguments)
    assert caught.value.errno == errno


def test_nothing_is_allocated_before_it_is_touched_and_everything_comes_back(kernel, space):
    before = kernel.frames.used
    start = space.map(0, 16 * MiB, RW, PRIVATE)
    assert start == MMAP_BASE - 16 * MiB
    assert kernel.frames.used == before
    space.write(start + 5, b"hello")
    tables = 3 if kernel.levels == 4 else 4
    assert kernel.frames.used == before + 1 + tables
    assert space.read(start, 12) == b"\0\0\0\0\0hello\0\0"
    walk = WALKS[kernel.isa.name](kernel.physical, space.page_table.root, start, kernel.levels)
    assert walk[1] == RW
    assert kernel.frames.user_of(walk[0]) == (FrameUse.PAGE, space.address, start)
    space.unmap(start, 16 * MiB)
    assert space.areas() == []
    space.destroy()
    assert kernel.frames.used == 0


def test_mappings_go_downward_and_fill_the_highest_hole(space):
    first, second, third = (space.map(0, n * PAGE_BYTES, n % 2, PRIVATE) for n in (1, 2, 3))
    assert (first, second, third) == tuple(MMAP_BASE - n * PAGE_BYTES for n in (1, 3, 6))
    space.unmap(second, 2 * PAGE_BYTES)
    assert space.map(0, 3 * PAGE_BYTES, 0, PRIVATE) == third - 3 * PAGE_BYTES
    assert space.map(0, PAGE_BYTES, RW, PRIVATE) == second + PAGE_BYTES
    assert space.map(0, PAGE_BYTES, RW, PRIVATE) == second
    assert space.map(AT + 5, PAGE_BYTES, RW, PRIVATE) == AT, "a free hint is used"
    assert space.map(AT, PAGE_BYTES, RW, PRIVATE) == third - 4 * PAGE_BYTES


def test_equal_neighbours_are_one_area(space):
    space.map(AT, PAGE_BYTES, RW, PRIVATE)
    space.map(AT + 2 * PAGE_BYTES, PAGE_BYTES, RW, PRIVATE)
    space.map(AT + PAGE_BYTES, PAGE_BYTES, RW, PRIVATE)
    assert ranges(space) == [(AT, AT + 3 * PAGE_BYTES, RW)]
    space.protect(AT + PAGE_BYTES, PAGE_BYTES, 1)
    assert len(ranges(space)) == 3
    space.protect(AT + PAGE_BYTES, PAGE_BYTES, RW)
    assert ranges(space) == [(AT, AT + 3 * PAGE_BYTES, RW)]


def test_the_arguments_of_mmap_are_checked(space):
    file = FakeFile(b"x" * 100)
    for errno, arguments in (
        (Errno.EINVAL, (0, 0, RW, PRIVATE)),
        (Errno.EINVAL, (0, 10, 8, PRIVATE)),
        (Errno.EINVAL, (0, 10, RW, MAP_ANONYMOUS)),
        (Errno.EINVAL, (0, 10, RW, MAP_PRIVATE)),
        (Errno.EINVAL, (0, 10, RW, PRIVATE, file)),
        (Errno.EINVAL, (0, 10, RW, MAP_PRIVATE, file, 100)),
        (Errno.EACCES, (0, 10, RW, MAP_SHARED, file)),
        (Errno.EINVAL, (AT + 1, 10, RW, PRIVATE | MAP_FIXED)),
        (Errno.ENOMEM, (USER_END, 10, RW, PRIVATE | MAP_FIXED)),
        (Errno.EPERM, (0, 10, RW, PRIVATE | MAP_FIXED)),
        (Errno.ENOMEM, (0, 1 << 40, RW, PRIVATE)),
        (Errno.ENOMEM, (0, 100 * 1024 * GiB + (40 << 40), 0, PRIVATE)),
    ):
        with pytest.raises(KernelError) as caught:
            space.map(*arguments)
        assert caught.value.errno == errno, arguments
    assert space.areas() == []


def test_a_terabyte_can_be_reserved_but_not_promised(kernel, space):
    before = kernel.frames.used
    start = space.map(0, 1 << 40, 0, PRIVATE)
    other = space.map(0, 1 << 40, RW, PRIVATE | MAP_NORESERVE)
    space.write_word(other + (1 << 39), 5)
    assert kernel.frames.used <= before + 5
    refused(Errno.ENOMEM, space.protect, start, 1 << 40, RW)
    space.protect(start, MiB, RW)
    space.write_word(start, 7)
    space.unmap(other, 1 << 40)
    space.unmap(start, 1 << 40)
    space.destroy()
    assert kernel.frames.used == 0


def test_fixed_mappings_replace_or_refuse(space):
    space.map(AT, 4 * PAGE_BYTES, RW, PRIVATE | MAP_FIXED)
    space.write(AT, b"abcd" * 4096)
    refused(Errno.EEXIST, space.map, AT, PAGE_BYTES, RW, PRIVATE | MAP_FIXED_NOREPLACE)
    space.map(AT + PAGE_BYTES, PAGE_BYTES, RW, PRIVATE | MAP_FIXED)
    assert space.read(AT + PAGE_BYTES - 4, 4 + 8) == b"abcd" + bytes(8)
    assert (
        space.map(AT - PAGE_BYTES, PAGE_BYTES, 1, PRIVATE | MAP_FIXED_NOREPLACE) == AT - PAGE_BYTES
    )


def test_faults_name_the_right_signal(space):
    space.map(AT, PAGE_BYTES, 1, PRIVATE)
    space.map(AT + PAGE_BYTES, PAGE_BYTES, 0, PRIVATE)
    file = FakeFile(b"x" * 100)
    mapped = space.map(0, 3 * PAGE_BYTES, 1, MAP_PRIVATE, file)
    assert space.fault(AT + 8, Access.READ) is None
    assert space.fault(AT + 8, Access.WRITE) == Signal(SIGSEGV, SEGV_ACCERR, AT + 8)
    assert space.fault(AT + 8, Access.EXECUTE) == Signal(SIGSEGV, SEGV_ACCERR, AT + 8)
    assert space.fault(AT + PAGE_BYTES, Access.READ) == Signal(
        SIGSEGV, SEGV_ACCERR, AT + PAGE_BYTES
    )
    assert space.fault(8, Access.READ) == Signal(SIGSEGV, SEGV_MAPERR, 8)
    assert space.fault(mapped + PAGE_BYTES, Access.READ) == Signal(
        SIGBUS, BUS_ADRERR, mapped + PAGE_BYTES
    )
    assert space.read(mapped, 101) == b"x" * 100 + b"\0"
    for call in (space.read, space.write):
        refused(Errno.EFAULT, call, AT + PAGE_BYTES, 5 if call == space.read else b"12345")
    refused(Errno.EFAULT, space.read, 1 << 60, 1)
    refused(Errno.EFAULT, space.write_word, AT, 5)


def test_a_private_file_mapping_never_changes_the_file(space):
    file = FakeFile(bytes(range(256)) * 40, writable=True)
    start = space.map(0, 3 * PAGE_BYTES, RW, MAP_PRIVATE, file, PAGE_BYTES)
    assert space.read(start + 16, 4) == bytes(range(16, 20))
    space.write(start, b"changed")
    space.unmap(start, PAGE_BYTES)
    assert space.read(start + PAGE_BYTES, 4) == bytes(range(4)), "the offset moved with the cut"
    assert file.data == bytes(range(256)) * 40


def test_a_shared_file_mapping_writes_changed_pages_back(space):
    file = FakeFile(b"." * (2 * PAGE_BYTES + 100), writable=True)
    start = space.map(0, 3 * PAGE_BYTES, RW, MAP_SHARED, file)
    flushed = []
    space.changed.append(flushed.append)
    assert space.read(start, 2) == b".."
    assert space.fault(start, Access.WRITE) is None
    assert flushed == [start], "the read-only translation must be forgotten"
    space.write(start, b"one")
    space.write(start + 2 * PAGE_BYTES, b"two")
    assert file.data[:3] == b"..."
    space.sync(start, PAGE_BYTES)
    assert file.data[:3] == b"one"
    space.write(start, b"ONE")
    space.protect(start, PAGE_BYTES, 1)
    assert file.data[:3] == b"ONE"
    space.destroy()
    assert file.data[2 * PAGE_BYTES :] == b"two" + b"." * 97
    assert len(file.data) == 2 * PAGE_BYTES + 100


def test_a_file_is_forgotten_with_its_last_area(space):
    start = space.map(0, 3 * PAGE_BYTES, 1, MAP_PRIVATE, FakeFile(b"x" * 20000))
    space.unmap(start + PAGE_BYTES, PAGE_BYTES)
    space.unmap(start, PAGE_BYTES)
    assert space.source(1).read_at(0, 1) == b"x"
    space.unmap(start, 3 * PAGE_BYTES)
    with pytest.raises(KeyError):
        space.source(1)


def test_the_stack_grows_to_its_limit_and_then_the_thread_gets_a_signal(space):
    space.map(STACK_TOP - 8192, 8192, RW, PRIVATE | MAP_FIXED | MAP_GROWSDOWN)
    space.write_word(STACK_TOP - MiB, 5)
    assert space.areas()[0].start == STACK_TOP - MiB
    low = STACK_TOP - STACK_BYTES_MAX
    assert space.fault(low, Access.WRITE) is None
    assert space.fault(low - 8, Access.WRITE) == Signal(SIGSEGV, SEGV_MAPERR, low - 8)


def test_a_stack_keeps_its_distance_from_what_lies_below(space):
    space.map(AT, PAGE_BYTES, RW, PRIVATE | MAP_FIXED)
    top = AT + 4 * MiB
    space.map(top, PAGE_BYTES, RW, PRIVATE | MAP_FIXED | MAP_GROWSDOWN)
    assert space.fault(AT + PAGE_BYTES + MiB, Access.WRITE) is None
    assert space.fault(AT + MiB, Access.WRITE).code == SEGV_MAPERR


def test_protection_changes_reach_present_pages_and_engines(kernel, space):
    start = space.map(0, 4 * PAGE_BYTES, RW, PRIVATE)
    space.write(start, b"z" * 4 * PAGE_BYTES)
    flushed = []
    space.changed.append(flushed.append)
    space.protect(start + PAGE_BYTES, 2 * PAGE_BYTES, 0)
    assert flushed == [start + PAGE_BYTES, start + 2 * PAGE_BYTES]
    refused(Errno.EFAULT, space.read, start + PAGE_BYTES, 1)
    space.protect(start + PAGE_BYTES, PAGE_BYTES, 5)
    assert space.read(start + PAGE_BYTES, 2) == b"zz"
    assert space.translate(start + PAGE_BYTES, Access.EXECUTE)
    space.protect(start, 4 * PAGE_BYTES, RW)
    space.write(start, b"y" * 4 * PAGE_BYTES)
    refused(Errno.ENOMEM, space.protect, start, 5 * PAGE_BYTES, 1)
    assert ranges(space) == [(start, start + 4 * PAGE_BYTES, 1)], "what is mapped was changed"
    refused(Errno.EINVAL, space.protect, start + 1, 5, 1)
    flushed.clear()
    space.unmap(start, 4 * PAGE_BYTES)
    assert flushed == [start + i * PAGE_BYTES for i in range(4)]
    big = space.map(0, MiB, RW, PRIVATE | MAP_POPULATE)
    flushed.clear()
    space.unmap(big, MiB)
    assert flushed == [None]


def test_mremap_grows_shrinks_and_moves_without_copying(kernel, space):
    start = space.map(AT, 4 * PAGE_BYTES, RW, PRIVATE)
    space.write(start, b"1" * PAGE_BYTES + b"2" * PAGE_BYTES)
    frame = space.translate(start, Access.READ)
    assert space.remap(start, 4 * PAGE_BYTES, 8 * PAGE_BYTES, 0) == start
    space.map(start + 8 * PAGE_BYTES, PAGE_BYTES, 1, PRIVATE)
    refused(Errno.ENOMEM, space.remap, start, 8 * PAGE_BYTES, 9 * PAGE_BYTES, 0)
    moved = space.remap(start, 8 * PAGE_BYTES, 16 * PAGE_BYTES, MREMAP_MAYMOVE)
    assert moved == MMAP_BASE - 16 * PAGE_BYTES
    assert space.translate(moved, Access.READ) == frame
    assert kernel.frames.user_of(frame)[2] == moved
    assert space.read(moved + PAGE_BYTES, 1) == b"2"
    assert space.fault(start, Access.READ).code == SEGV_MAPERR
    assert space.remap(moved, 16 * PAGE_BYTES, PAGE_BYTES, 0) == moved
    assert space.fault(moved + PAGE_BYTES, Access.READ).code == SEGV_MAPERR
    fixed = MREMAP_MAYMOVE | MREMAP_FIXED
    assert space.remap(moved, PAGE_BYTES, 2 * PAGE_BYTES, fixed, AT) == AT
    assert space.translate(AT, Access.READ) == frame
    refused(Errno.EFAULT, space.remap, moved, PAGE_BYTES, PAGE_BYTES, 0)
    refused(Errno.EINVAL, space.remap, AT, 2 * PAGE_BYTES, PAGE_BYTES, fixed, AT + PAGE_BYTES)
    refused(Errno.EINVAL, space.remap, AT, PAGE_BYTES, PAGE_BYTES, MREMAP_FIXED, AT)
    refused(Errno.EINVAL, space.remap, AT, 0, PAGE_BYTES, MREMAP_MAYMOVE)
    space.destroy()
    assert kernel.frames.used == 0


def test_the_heap_moves_by_bytes(kernel, space):
    space.set_break_start(AT)
    assert space.set_break(0) == AT
    assert space.set_break(AT + 100) == AT + 100
    space.write(AT, b"heap")
    assert space.set_break(AT + 3 * PAGE_BYTES) == AT + 3 * PAGE_BYTES
    assert ranges(space) == [(AT, AT + 3 * PAGE_BYTES, RW)]
    assert space.set_break(1 << 40) == AT + 3 * PAGE_BYTES, "more than there is"
    space.map(AT + 4 * PAGE_BYTES, PAGE_BYTES, RW, PRIVATE | MAP_FIXED)
    assert space.set_break(AT + 5 * PAGE_BYTES) == AT + 3 * PAGE_BYTES, "something is in the way"
    assert space.set_break(AT) == AT
    assert space.heap == (AT, AT)
    assert len(space.areas()) == 1


def test_discard_empties_private_pages_only(space):
    file = FakeFile(b"f" * PAGE_BYTES)
    private = space.map(AT, PAGE_BYTES, RW, PRIVATE)
    space.map(AT + PAGE_BYTES, PAGE_BYTES, RW, MAP_PRIVATE, file)
    space.map(AT + 2 * PAGE_BYTES, PAGE_BYTES, RW, MAP_SHARED | MAP_ANONYMOUS)
    for number in range(3):
        space.write(AT + number * PAGE_BYTES, b"new")
    space.discard(private, 3 * PAGE_BYTES)
    assert [space.read(AT + n * PAGE_BYTES, 3) for n in range(3)] == [b"\0\0\0", b"fff", b"new"]
    refused(Errno.ENOMEM, space.discard, AT, 5 * PAGE_BYTES)


def test_when_frames_run_out_the_thread_dies_and_the_kernel_lives(kernel, space):
    """Memory that nobody promised: MAP_NORESERVE."""
    space.map(0, 40 * MiB, RW, PRIVATE)
    start = space.map(0, 40 * MiB, RW, PRIVATE | MAP_NORESERVE)
    outcome, at = None, start
    while outcome is None:
        outcome = space.fault(at, Access.WRITE)
        at += PAGE_BYTES
    assert outcome.number == SIGKILL
    refused(Errno.EFAULT, space.write, at + MiB, b"x")
    refused(Errno.ENOMEM, space.map, 0, PAGE_BYTES, RW, PRIVATE)
    other = AddressSpace(kernel)  # some frames are kept for the kernel
    other.destroy()
    space.destroy()
    assert kernel.frames.used == 0
    assert kernel.frames.commitment.committed == 0


def test_a_kernel_does_not_take_what_it_promised(kernel, space):
    """Structures find no room any more, pages that were promised do."""
    start = space.map(0, 40 * MiB, RW, PRIVATE)
    space.write(start, b"x")
    taken = []
    with pytest.raises(KernelError, match="ENOMEM"):
        while True:
            taken.append(kernel.frames.allocate(zero=False))
    for page in range(start, start + 40 * MiB, PAGE_BYTES):
        assert space.fault(page, Access.WRITE) is None
    for frame in taken:
        kernel.frames.free(frame)
    space.destroy()
    assert kernel.frames.used == 0


def test_user_strings_and_words(space):
    start = space.map(0, 2 * PAGE_BYTES, RW, PRIVATE)
    edge = start + PAGE_BYTES
    space.write(edge - 70, b"a" * 140 + b"\0")
    assert space.read_string(edge - 70) == b"a" * 140
    refused(Errno.ENAMETOOLONG, space.read_string, edge - 70, 100)
    space.write(edge + PAGE_BYTES - 3, b"abc")
    refused(Errno.EFAULT, space.read_string, edge + PAGE_BYTES - 3)
    space.write_word(edge - 4, 0x1122334455667788)
    assert space.read_word(edge - 4) == 0x1122334455667788
    assert space.read_word(edge, 2) == 0x3344
    assert space.compare_and_swap(start, 0, 5) == 0
    assert space.compare_and_swap(start, 0, 6) == 5
    assert space.read_word(start, 4) == 5
    refused(Errno.EINVAL, space.compare_and_swap, start + 2, 0, 1)


def test_the_nodes_list_of_address_spaces_stays_whole(kernel):
    memory = kernel.memory
    spaces = [AddressSpace(kernel) for _ in range(4)]

    def listed():
        at = memory.peek(kernel.frames.directory + DIRECTORY.offset("spaces"))
        found = []
        while at:
            found.append(at)
            at = memory.peek(at + ADDRESS_SPACE.offset("next"))
        return found

    assert listed() == [s.address for s in reversed(spaces)]
    for gone in (spaces[1], spaces[3], spaces[0]):
        gone.destroy()
    assert listed() == [spaces[2].address]
    record = ADDRESS_SPACE.decode(memory.read(spaces[2].address, ADDRESS_SPACE.size))
    assert record["table_root"] == spaces[2].page_table.root
    assert record["machine"] == {"x86_64": 62, "aarch64": 183, "riscv64": 243}[kernel.isa.name]


def test_two_runs_make_the_same_references_and_the_same_memory():
    digests = []
    for _ in range(2):
        kernel = FakeKernel()
        space = AddressSpace(kernel)
        start = space.map(0, MiB, RW, PRIVATE | MAP_POPULATE)
        space.protect(start + 8192, 8192, 1)
        space.remap(start, 4096, 65536, MREMAP_MAYMOVE)
        used = np.concatenate([kernel.physical[f : f + PAGE_BYTES] for f in kernel.frames.in_use()])
        digests.append(
            (kernel.core.instructions_kernel, kernel.core.writer.records, used.tobytes())
        )
    assert digests[0] == digests[1]
