"""Random scripts for guests/script.c, and what a single kernel would answer to them."""

import random

SLOTS = 8
PAGES_MAX = 12
NONE, READ, WRITE = 0, 1, 3  # PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE
EFAULT_SEEN = -1


class Model:
    """One thread's memory.  text: what the guest must print.  locks: times the mutex was taken."""

    def __init__(self) -> None:
        self.mapped: dict[int, tuple[list[int], int]] = {}  # slot -> (byte of each page, rights)
        self.heap: dict[int, int] = {}  # slot -> bytes
        self.words: list[str] = []
        self.answers: list[str] = []
        self.depth = 0
        self.locks = 0

    @property
    def script(self) -> str:
        return " ".join([*self.words, *["h"] * self.depth])

    @property
    def text(self) -> str:
        return "".join(f"{answer} " for answer in self.answers)

    def step(self, dice: random.Random, nodes: int) -> None:
        """One more operation that is allowed in the state reached."""
        choice = dice.choice("muppwwwwrrrreeaafflyggh")
        getattr(self, f"_{choice}")(dice, nodes)

    def _free_slot(self, dice: random.Random, taken: dict) -> int | None:
        free = [slot for slot in range(SLOTS) if slot not in taken]
        return dice.choice(free) if free else None

    def _slot_with(self, dice: random.Random, *rights: int) -> int | None:
        found = [slot for slot, (_, has) in sorted(self.mapped.items()) if has in rights]
        return dice.choice(found) if found else None

    def _m(self, dice, _nodes) -> None:
        slot = self._free_slot(dice, self.mapped)
        if slot is not None:
            pages = dice.randint(1, PAGES_MAX)
            self.mapped[slot] = ([0] * pages, WRITE)
            self.words.append(f"m{slot} {pages}")
            self.answers.append("m1")

    def _u(self, dice, _nodes) -> None:
        slot = self._slot_with(dice, NONE, READ, WRITE)
        if slot is not None and dice.random() < 0.5:
            del self.mapped[slot]
            self.words.append(f"u{slot}")
            self.answers.append("u0")

    def _p(self, dice, _nodes) -> None:
        slot = self._slot_with(dice, NONE, READ, WRITE)
        if slot is not None:
            rights = dice.choice((NONE, READ, WRITE, WRITE))
            self.mapped[slot] = (self.mapped[slot][0], rights)
            self.words.append(f"p{slot} {rights}")
            self.answers.append("p0")

    def _w(self, dice, _nodes) -> None:
        slot = self._slot_with(dice, WRITE)
        if slot is not None:
            page, value = dice.randrange(len(self.mapped[slot][0])), dice.randrange(256)
            self.mapped[slot][0][page] = value
            self.words.append(f"w{slot} {page} {value}")

    def _r(self, dice, _nodes) -> None:
        slot = self._slot_with(dice, READ, WRITE)
        if slot is not None:
            page = dice.randrange(len(self.mapped[slot][0]))
            self.words.append(f"r{slot} {page}")
            self.answers.append(f"r{self.mapped[slot][0][page]}")

    def _e(self, dice, _nodes) -> None:
        slot = self._slot_with(dice, NONE, READ, WRITE)
        if slot is not None:
            bytes_, rights = self.mapped[slot]
            self.words.append(f"e{slot} {dice.randrange(len(bytes_))}")
            self.answers.append(f"e{0 if rights == WRITE else EFAULT_SEEN}")

    def _a(self, dice, _nodes) -> None:
        slot = self._free_slot(dice, self.heap)
        if slot is not None:
            self.heap[slot] = dice.choice((24, 700, 5000, 70_000))
            self.words.append(f"a{slot} {self.heap[slot]}")

    def _f(self, dice, _nodes) -> None:
        if self.heap:
            slot = dice.choice(sorted(self.heap))
            self.answers.append(f"f{self.heap.pop(slot) * (slot + 1)}")
            self.words.append(f"f{slot}")

    def _l(self, _dice, _nodes) -> None:
        self.locks += 1
        self.words.append("l")

    def _y(self, _dice, _nodes) -> None:
        self.words.append("y")

    def _g(self, dice, nodes) -> None:
        if self.depth < 4:
            self.depth += 1
            self.words.append(f"g{dice.randrange(nodes)}")

    def _h(self, _dice, _nodes) -> None:
        if self.depth:
            self.depth -= 1
            self.words.append("h")


def make(seed: int, threads: int, steps: int, nodes: int) -> list[Model]:
    """One model per thread, each after `steps` operations."""
    dice = random.Random(seed)
    models = [Model() for _ in range(threads)]
    for model in models:
        for _ in range(steps):
            model.step(dice, nodes)
    return models
