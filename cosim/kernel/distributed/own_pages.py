"""Pages of a multi-ISA program's text and constants: each kernel fills them from its own ELF."""

from cosim.kernel.loader import Image
from cosim.kernel.vma import Vma
from cosim.units import LINE_BYTES, PAGE_BYTES


def own_page(space, image: Image, area: Vma, page: int) -> int:
    """A new frame with the image's bytes for a page of `area`.  KernelError(ENOMEM)."""
    frame = space.frame_for(area, page, zero=False)
    content = bytearray(PAGE_BYTES)
    for segment in image.segments:
        start = max(page, segment.address)
        end = min(page + PAGE_BYTES, segment.address + segment.file_bytes)
        if start < end:
            first = segment.offset + start - segment.address
            content[start - page : end - page] = image.data[first : first + end - start]
    space.memory.charge("file_page")
    space.memory.charge("copy_line", PAGE_BYTES // LINE_BYTES)
    space.memory.write(frame, bytes(content))
    return frame
