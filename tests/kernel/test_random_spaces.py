"""Does an address space agree with a dictionary of pages, whatever is done to it?"""

import random

import pytest

from cosim.engine.interface import Access
from cosim.kernel.address_space import AddressSpace
from cosim.kernel.errno import KernelError
from cosim.kernel.frames import KEPT
from cosim.kernel.mapping import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_PRIVATE,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
)
from cosim.units import PAGE_BYTES, MiB
from tests.kernel.fakes import FORMATS, WALKS, FakeFile, FakeKernel

BASE = 0x1_0000_0000 - 20 * PAGE_BYTES  # across a boundary of tables
PAGES = 60
FILE = FakeFile(b"".join(bytes([64 + i]) * PAGE_BYTES for i in range(PAGES)))
PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS


class Model:
    """page number -> [protection, first byte of the page, is it promised]."""

    def __init__(self, rng, space):
        self.rng = rng
        self.space = space
        self.pages: dict[int, list[int]] = {}

    def range(self):
        first = self.rng.randrange(PAGES)
        return first, self.rng.randint(1, min(12, PAGES - first))

    def map(self):
        first, count = self.range()
        protection = self.rng.choice((0, 1, 3, 3, 3, 5))
        chosen = range(first, first + count)
        taken = any(p in self.pages for p in chosen)
        fixed = self.rng.choice((MAP_FIXED, MAP_FIXED_NOREPLACE))
        from_file = self.rng.random() < 0.3
        source = (FILE, first * PAGE_BYTES) if from_file else ()
        flags = fixed | (MAP_PRIVATE if from_file else PRIVATE)
        try:
            self.space.map(
                BASE + first * PAGE_BYTES, count * PAGE_BYTES, protection, flags, *source
            )
        except KernelError:
            assert taken
            assert fixed == MAP_FIXED_NOREPLACE
            return
        assert fixed == MAP_FIXED or not taken
        for page in chosen:
            self.pages[page] = [protection, 64 + page if from_file else 0, protection != 0]

    def unmap(self):
        first, count = self.range()
        self.space.unmap(BASE + first * PAGE_BYTES, count * PAGE_BYTES)
        for page in range(first, first + count):
            self.pages.pop(page, None)

    def protect(self):
        first, count = self.range()
        protection = self.rng.choice((0, 1, 3, 5))
        chosen = list(range(first, first + count))
        whole = all(p in self.pages for p in chosen)
        try:
            self.space.protect(BASE + first * PAGE_BYTES, count * PAGE_BYTES, protection)
        except KernelError:
            assert not whole
        else:
            assert whole
        for page in chosen:
            if page not in self.pages:
                break
            self.pages[page][0] = protection
            self.pages[page][2] |= protection != 0

    def write(self):
        page = self.rng.randrange(PAGES)
        value = self.rng.randrange(256)
        try:
            self.space.write(BASE + page * PAGE_BYTES, bytes([value]))
        except KernelError:
            assert page not in self.pages or not self.pages[page][0] & 2
        else:
            assert self.pages[page][0] & 2
            self.pages[page][1] = value

    def remap(self):
        first, count = self.range()
        target, length = self.range()
        try:
            moved = self.space.remap(
                BASE + first * PAGE_BYTES,
                count * PAGE_BYTES,
                length * PAGE_BYTES,
                MREMAP_MAYMOVE | MREMAP_FIXED,
                BASE + target * PAGE_BYTES,
            )
        except KernelError:
            return
        assert moved == BASE + target * PAGE_BYTES
        rights, _, promised = self.pages[first]
        for page in range(target, target + length):
            self.pages.pop(page, None)
        old = [self.pages.pop(p) for p in range(first, first + count)]
        for number in range(length):
            # Growing a file mapping shows more of the file; only anonymous growth is modelled, so
            # look it up.
            fresh = None if number >= count else old[number]
            at = BASE + (target + number) * PAGE_BYTES
            self.pages[target + number] = fresh or [rights, self._fresh(at, rights), promised]

    def _fresh(self, at, rights):
        area = self.space.tree.find(at)
        assert area.protection == rights
        if not area.source:
            return 0
        data = FILE.read_at(area.offset + at - area.start, 1)
        return data[0] if data else None

    def discard(self):
        first, count = self.range()
        try:
            self.space.discard(BASE + first * PAGE_BYTES, count * PAGE_BYTES)
        except KernelError:
            assert any(p not in self.pages for p in range(first, first + count))
        for page in range(first, first + count):
            if page in self.pages:
                at = BASE + page * PAGE_BYTES
                self.pages[page][1] = self._fresh(at, self.pages[page][0])

    def promised(self, levels):
        """Frames: the pages that had rights once, and the tables that these may need."""
        pages = [page for page, (_, _, promised) in self.pages.items() if promised]
        tables = {
            (shift, BASE + page * PAGE_BYTES >> shift)
            for page in pages
            for shift in (21, 30, 39, 48)[: levels - 1]
        }
        return len(pages) + len(tables)

    def check(self, hardware):
        for page in range(PAGES):
            at = BASE + page * PAGE_BYTES
            protection, value, _ = self.pages.get(page, (0, 0, False))
            area = self.space.tree.find(at)
            assert (area is not None) == (page in self.pages)
            if value is None:
                assert self.space.fault(at, Access.READ) is not None
                continue
            if not protection:
                assert hardware(at) is None
                assert self.space.fault(at, Access.READ) is not None
                continue
            assert self.space.read(at, 1)[0] == value
            assert hardware(at)[1] == protection | 1


@pytest.mark.parametrize(("isa", "levels"), FORMATS)
@pytest.mark.parametrize("seed", range(3))
def test_random_calls_match_a_dictionary(isa, levels, seed):
    kernel = FakeKernel(isa, levels, ranges=((0, 8 * MiB),))
    space = AddressSpace(kernel)
    model = Model(random.Random(seed), space)

    def hardware(at):
        return WALKS[isa](kernel.physical, space.page_table.root, at, levels)

    calls = (model.map, model.map, model.unmap, model.protect, model.write, model.write,
             model.remap, model.discard)  # fmt: skip
    for turn in range(400):
        model.rng.choice(calls)()
        assert kernel.frames.commitment.committed == model.promised(levels)
        if turn % 8 == 0:
            model.check(hardware)
            kernel.core.writer.take()
    areas = space.areas()
    assert all(a.end <= b.start for a, b in zip(areas, areas[1:], strict=False))
    present = list(space.page_table.pages(0, 1 << 47))
    assert len({page.physical for _, _, page in present}) == len(present), "a frame is mapped once"
    for at, _, page in present:
        assert kernel.frames.user_of(page.physical)[1:] == (space.address, at)
    space.destroy()
    assert kernel.frames.used == 0
    assert kernel.frames.commitment.committed == 0
    assert kernel.frames.commitment.limit == kernel.frames.total - kernel.frames.total // KEPT
