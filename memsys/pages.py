"""The digest of physical memory: every page that is not zero, by number and content."""

import os
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np

from cosim.units import PAGE_BYTES, MiB, align_down, align_up

CHUNK_BYTES = 4 * MiB
DIGEST_BYTES = 16
ROW = np.dtype([("page", "<u8"), ("content", "u1", (PAGE_BYTES,))])


def data_extents(descriptor: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the parts of a sparse file that were ever written, grown to whole pages."""
    at = 0
    while at < size_bytes:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # ENXIO: no data behind `at`
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield align_down(start, PAGE_BYTES), min(align_up(end, PAGE_BYTES), size_bytes)
        at = end


def add_pages(digest: "blake2b", physical: np.ndarray, path: str) -> int:
    """Add page number and content of every page that is not all zeroes, in order; how many.

    physical: the segment as u8.  path: where to open it again, for its extents.  Whether a zero
    page was ever written makes no difference, so the digest does not depend on how it was zeroed.
    """
    pages_found = 0
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for start, end in data_extents(descriptor, len(physical)):
            for first in range(start, end, CHUNK_BYTES):
                chunk = physical[first : min(first + CHUNK_BYTES, end)].reshape(-1, PAGE_BYTES)
                used = np.flatnonzero(chunk.view(np.uint64).any(axis=1))
                rows = np.empty(len(used), ROW)
                rows["page"] = used + first // PAGE_BYTES
                rows["content"] = chunk[used]
                digest.update(rows.tobytes())
                pages_found += len(used)
    finally:
        os.close(descriptor)
    return pages_found
