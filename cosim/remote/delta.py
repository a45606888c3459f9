"""The words that changed in some pages, as arrays and as the fields of a message.

```text
 pages (n,) · masks (n, 8): bit w of a page's 512 = its word w follows · words (m,), in that order
```
A page that nobody changed is not named, and one with a few new words travels as these words.
"""

from typing import NamedTuple

import numpy as np

from cosim.errors import ProtocolError
from cosim.protocol.pages import MASK_BYTES, WORD_BYTES
from cosim.units import PAGE_BYTES

PAGE_WORDS = PAGE_BYTES // WORD_BYTES
MASK_WORDS = MASK_BYTES // WORD_BYTES


class Delta(NamedTuple):
    """pages: (n,) u64.  masks: (n, MASK_WORDS) u64.  words: (m,) u64."""

    pages: np.ndarray
    masks: np.ndarray
    words: np.ndarray

    def fields(self) -> dict[str, bytes]:
        """As fields of a message."""
        return {name: part.tobytes() for name, part in self._asdict().items()}

    @staticmethod
    def of(message: dict) -> "Delta":
        """From the fields of a message.  ProtocolError when they do not fit together."""
        pages, masks, words = (message[name] for name in Delta._fields)
        ones = int.from_bytes(masks).bit_count()
        if len(pages) % WORD_BYTES or len(masks) != len(pages) // WORD_BYTES * MASK_BYTES:
            raise ProtocolError(f"delta of {len(pages)} bytes of pages, {len(masks)} of masks")
        if len(words) != ones * WORD_BYTES:
            raise ProtocolError(f"delta of {len(words)} bytes of words for {ones} bits of masks")
        return Delta(
            np.frombuffer(pages, np.uint64),
            np.frombuffer(masks, np.uint64).reshape(-1, MASK_WORDS),
            np.frombuffer(words, np.uint64),
        )
