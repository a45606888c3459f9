"""Do kernels of two ISAs see the same named segments, at the same frames, without allocating
anything?
"""

import pytest

from cosim.engine.interface import Access
from cosim.errors import InputError
from cosim.kernel.address_space import AddressSpace
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.mapping import MAP_PRIVATE, MAP_SHARED, SIGBUS
from cosim.kernel.shared_window import ROWS, SharedWindow
from cosim.units import PAGE_BYTES, MiB
from tests.kernel.fakes import WINDOW, FakeKernel


@pytest.fixture
def pair():
    first = FakeKernel("x86_64", 5, ranges=((0, 16 * MiB),))
    second = FakeKernel(
        "aarch64", 5, ranges=((16 * MiB, 32 * MiB),), physical=first.physical, node=1
    )
    return first, second


def refused(errno, call, *arguments, **options):
    with pytest.raises(KernelError) as caught:
        call(*arguments, **options)
    assert caught.value.errno == errno


def test_what_one_isa_writes_the_other_reads(pair):
    x86, arm = pair
    segment = x86.window.open(b"ring", create=True)
    segment.resize(3 * PAGE_BYTES)
    spaces = [AddressSpace(kernel) for kernel in pair]
    used = [kernel.frames.used for kernel in pair]
    there = arm.window.open(b"ring")
    places = [
        space.map(0, 3 * PAGE_BYTES, 3, MAP_SHARED, source)
        for space, source in zip(spaces, (segment, there), strict=True)
    ]
    spaces[0].write(places[0] + PAGE_BYTES - 2, b"hello")
    assert spaces[1].read(places[1] + PAGE_BYTES - 2, 5) == b"hello"
    assert spaces[0].translate(places[0], Access.READ) == spaces[1].translate(
        places[1], Access.READ
    )
    assert there.read_at(PAGE_BYTES, 3) == b"llo"
    there.write_at(0, b"zero")
    assert spaces[0].read(places[0], 4) == b"zero"
    pages_used = [k.frames.used - u for k, u in zip(pair, used, strict=True)]
    assert pages_used == [4, 4], "tables only"
    for space, kernel in zip(spaces, pair, strict=True):
        space.destroy()
        assert kernel.frames.used == 0


def test_a_segment_lives_as_long_as_a_name_or_a_user(pair):
    x86, arm = pair
    segment = x86.window.open(b"a", create=True)
    segment.resize(PAGE_BYTES)
    space = AddressSpace(arm)
    mapped = space.map(0, PAGE_BYTES, 3, MAP_SHARED, arm.window.open(b"a"))
    arm.window.unlink(b"a")
    assert x86.window.names() == []
    refused(Errno.ENOENT, x86.window.open, b"a")
    space.write(mapped, b"still here")
    other = x86.window.open(b"a", create=True)
    other.resize(PAGE_BYTES)
    assert other.number != segment.number
    assert other.read_at(0, 10) == bytes(10)
    assert space.read(mapped, 10) == b"still here"


def test_memory_of_a_gone_segment_is_used_again_and_reads_as_zero(pair):
    x86, _ = pair
    segment = x86.window.open(b"a", create=True)
    segment.resize(MiB)
    segment.write_at(0, b"secret")
    base = x86.window.page(segment.number, 0)
    x86.window.unlink(b"a")
    segment.close()
    again = x86.window.open(b"b", create=True)
    again.resize(PAGE_BYTES)
    assert x86.window.page(again.number, 0) == base
    assert again.read_at(0, 6) == bytes(6)


def test_segments_grow_only_into_free_space_and_shrink_clean(pair):
    window = pair[0].window
    low, high = (window.open(name, create=True) for name in (b"low", b"high"))
    low.resize(10)
    low.resize(2 * PAGE_BYTES)
    high.resize(PAGE_BYTES)
    refused(Errno.ENOMEM, low.resize, 2 * PAGE_BYTES + 1)
    refused(Errno.ENOMEM, high.resize, 4 * MiB)
    refused(Errno.EINVAL, high.resize, -1)
    high.write_at(0, b"x" * PAGE_BYTES)
    high.resize(10)
    assert high.read_at(0, 100) == b"x" * 10
    refused(Errno.EINVAL, high.write_at, 8, b"abc")
    high.resize(100)
    assert high.read_at(0, 100) == b"x" * 10 + bytes(90)
    assert high.size == 100


def test_mappings_end_with_the_segment(pair):
    x86, _ = pair
    segment = x86.window.open(b"a", create=True)
    space = AddressSpace(x86)
    start = space.map(0, 2 * PAGE_BYTES, 3, MAP_SHARED, segment)
    assert space.fault(start, Access.READ).number == SIGBUS
    segment.resize(PAGE_BYTES)
    assert space.fault(start, Access.READ) is None
    assert space.fault(start + PAGE_BYTES, Access.READ).number == SIGBUS


def test_a_private_mapping_is_a_copy_and_a_read_only_one_stays_so(pair):
    x86, _ = pair
    segment = x86.window.open(b"a", create=True)
    segment.resize(PAGE_BYTES)
    space = AddressSpace(x86)
    start = space.map(0, PAGE_BYTES, 3, MAP_PRIVATE, segment)
    space.write(start, b"mine")
    assert segment.read_at(0, 4) == bytes(4)
    reader = x86.window.open(b"a", writable=False)
    refused(Errno.EACCES, space.map, 0, PAGE_BYTES, 3, MAP_SHARED, reader)
    shared = space.map(0, PAGE_BYTES, 1, MAP_SHARED, reader)
    refused(Errno.EACCES, space.protect, shared, PAGE_BYTES, 3)


def test_names_are_checked_and_rows_are_limited(pair):
    window = pair[0].window
    for name in (b"", b"a/b", b"a\0"):
        refused(Errno.EINVAL, window.open, name, create=True)
    refused(Errno.ENAMETOOLONG, window.open, b"n" * 64, create=True)
    refused(Errno.ENOENT, window.unlink, b"a")
    for number in range(ROWS):
        window.open(b"%d" % number, create=True)
    refused(Errno.ENOSPC, window.open, b"more", create=True)
    refused(Errno.EEXIST, window.open, b"1", create=True, exclusive=True)
    assert window.names() == [b"%d" % number for number in range(ROWS)]


def test_a_window_without_room_is_refused(pair):
    with pytest.raises(InputError, match="memory.shared_window"):
        SharedWindow(pair[0].memory, WINDOW[0], WINDOW[0] + 8192, 0)
