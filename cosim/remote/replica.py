"""Pages that two hosts keep in common, and what changed in them: the same object at both ends.

Each end has the memory itself and, of every page in common, a copy of what both last agreed on.
`changes` finds the words that differ from the copies and brings the copies up to date; `apply` at
the other end writes exactly these words.  So the copies are equal at both ends whenever no delta is
on its way, a page that nobody changed moves no byte, and words that others wrote meanwhile in the
same page stay as they are.

Pages are numbered over all segments, in the order in which these are given.
"""

import ctypes
from collections.abc import Mapping

import numpy as np

from cosim.compiled import call_pointer4, kernel, load_word, store_release, store_word
from cosim.errors import ProtocolError
from cosim.protocol.pages import DELTA_PAGES_MAX
from cosim.remote.delta import MASK_WORDS, PAGE_WORDS, Delta
from cosim.shared import Segment
from cosim.units import PAGE_BYTES, PAGE_SHIFT

FIRST_CAPACITY = 1024

U = np.uint64
ZERO, ONE, EIGHT = U(0), U(1), U(8)
PAGE, PAGE_AT, WORD_AT = U(PAGE_BYTES), U(PAGE_SHIFT), U(3)
LOW_HALF = U(0xFFFFFFFF)
MEMCMP = U(ctypes.cast(ctypes.CDLL(None).memcmp, ctypes.c_void_p).value or 0)


@kernel
def find_changes(first, addresses, numbers, copies, memcmp, pages, masks, words):
    """Changes of the pages in common from the `first` on; (next to look at, pages, words found).

    addresses, numbers: (n,) u64, where each page is here and its number.  copies: host address of
    the copy of page 0.  memcmp: address of libc's, which compares 4 KiB four times as fast as a
    compiled loop here.  pages, masks, words: room for the result.  Brings the copies up to date.
    """
    found = 0
    written = 0
    for index in range(first, len(numbers)):
        if found == len(pages):
            return index, found, written
        here = addresses[index]
        copy = copies + (numbers[index] << PAGE_AT)
        if call_pointer4(memcmp, here, copy, PAGE, ZERO) & LOW_HALF == ZERO:  # an int: 32 bits
            continue
        pages[found] = numbers[index]
        for group in range(MASK_WORDS):
            mask = ZERO
            for bit in range(64):
                word = load_word(here)
                if word != load_word(copy):
                    store_word(copy, word)
                    mask |= ONE << U(bit)
                    words[written] = word
                    written += 1
                here += EIGHT
                copy += EIGHT
            masks[found, group] = mask
        found += 1
    return len(numbers), found, written


@kernel
def touch_pages(addresses):
    """Make each page exist where nobody has it yet: a word of zeroes.  (Writing back what was read
    would be compiled to nothing.)
    """
    for address in addresses:
        store_release(address, ZERO)


@kernel
def write_changes(addresses, pages, copies, masks, words):
    """Write the words of a delta, those of a page from the last to the first.

    The memory system watches HEAD and TAIL of each core's stream, in this order in one page: TAIL
    must be there when HEAD appears, or it would consume what is consumed.
    """
    end = 0
    for row in range(len(pages)):
        for word in range(PAGE_WORDS):
            end += np.int64((masks[row, word >> 6] >> U(word & 63)) & ONE)
        left = end
        for back in range(PAGE_WORDS):
            word = PAGE_WORDS - 1 - back
            if (masks[row, word >> 6] >> U(word & 63)) & ONE:
                left -= 1
                at = U(word) << WORD_AT
                store_word(copies + (pages[row] << PAGE_AT) + at, words[left])
                store_release(addresses[row] + at, words[left])


class Replica:
    """The pages that this end has in common with the other.

    segments: (bytes,) u8 by name; both ends give the same names, sizes and order.
    """

    def __init__(self, segments: Mapping[str, np.ndarray]) -> None:
        self.segments = dict(segments)
        self.first_page: dict[str, int] = {}
        total = 0
        for name, array in self.segments.items():
            self.first_page[name] = total
            total += -(-len(array) // PAGE_BYTES)
        self.page_count = total
        self._firsts = np.array(list(self.first_page.values()), dtype=np.uint64)
        self._bases = np.array([a.ctypes.data for a in self.segments.values()], dtype=np.uint64)
        self._copies = Segment.create("copies", total * PAGE_BYTES)
        self._copy_at = U(self._copies.address)
        self._kept = np.zeros(total, dtype=bool)
        self._numbers = np.zeros(FIRST_CAPACITY, dtype=np.uint64)
        self._addresses = np.zeros(FIRST_CAPACITY, dtype=np.uint64)
        self.count = 0  # pages in common
        self._room = Delta(
            np.zeros(DELTA_PAGES_MAX, np.uint64),
            np.zeros((DELTA_PAGES_MAX, MASK_WORDS), np.uint64),
            np.zeros(DELTA_PAGES_MAX * PAGE_WORDS, np.uint64),
        )
        self._compile()

    def _compile(self) -> None:
        """Have the kernels ready: the first turn should not wait for a compiler."""
        self.changes()
        self.apply(Delta.of(dict.fromkeys(Delta._fields, b"")))
        self.touch(np.zeros(0, np.uint64))

    def page(self, name: str, offset: int) -> int:
        """Number of the page that holds byte `offset` of a segment."""
        return self.first_page[name] + (offset >> PAGE_SHIFT)

    def run(self, page: int, most: int) -> int:
        """How many pages from `page` on, at most `most`, are in no end's hands and of one segment.

        ProtocolError when there is no such page; 0 when it is in common already.
        """
        if not 0 <= page < self.page_count:
            raise ProtocolError(f"page {page}: the segments have {self.page_count}")
        end = min((f for f in self.first_page.values() if f > page), default=self.page_count)
        taken = np.flatnonzero(self._kept[page : min(page + most, end)])
        return int(taken[0]) if len(taken) else min(most, end - page)

    def keep(self, page: int, count: int) -> None:
        """Have the pages from `page` on in common from now on; both ends agree on zeroes."""
        while self.count + count > len(self._numbers):
            self._numbers = np.concatenate((self._numbers, np.zeros_like(self._numbers)))
            self._addresses = np.concatenate((self._addresses, np.zeros_like(self._addresses)))
        numbers = np.arange(page, page + count, dtype=np.uint64)
        self._numbers[self.count : self.count + count] = numbers
        self._addresses[self.count : self.count + count] = self.addresses(numbers)
        self.count += count
        self._kept[page : page + count] = True

    def forget(self) -> None:
        """Have no page in common any more.  The memory stays as it is."""
        self.count = 0
        self._kept[:] = False
        self._copies.clear()

    def touch(self, pages: np.ndarray) -> None:
        """Have pages, (n,) u64, that this end's memory does not hold yet, in it as zeroes."""
        touch_pages(self.addresses(pages))

    def addresses(self, pages: np.ndarray) -> np.ndarray:
        """Where these pages are in this process, (n,) u64.  pages: (n,) u64."""
        segment = np.searchsorted(self._firsts, pages, side="right") - 1
        return self._bases[segment] + ((pages - self._firsts[segment]) << PAGE_AT)

    def changes(self, first: int = 0) -> tuple[Delta, int]:
        """What changed here, of the pages in common from number `first` on in the order of `keep`,
        and where to go on (`count`: that is all).
        """
        room = self._room
        following, pages, words = find_changes(
            first, self._addresses[: self.count], self._numbers[: self.count], self._copy_at,
            MEMCMP, *room,
        )  # fmt: skip
        return Delta(room.pages[:pages], room.masks[:pages], room.words[:words]), int(following)

    def apply(self, delta: Delta) -> None:
        """Write what changed at the other end.  ProtocolError for a page that is not in common."""
        pages, masks, words = delta
        if (pages >= self.page_count).any() or not self._kept[pages.astype(np.int64)].all():
            raise ProtocolError("delta of a page that is not in common")
        write_changes(self.addresses(pages), pages, self._copy_at, masks, words)

    def close(self) -> None:
        """Give the copies back."""
        self._copies.close()
