"""Do two ends of a replica agree after every exchange, word for word?"""

import numpy as np
import pytest

from cosim.errors import ProtocolError
from cosim.protocol.pages import DELTA_PAGES_MAX
from cosim.remote.delta import PAGE_WORDS, Delta
from cosim.remote.replica import Replica
from cosim.shared import Segment

SIZES = {"physical": 1 << 24, "stream": 3 * 4096}
PAGES = sum(SIZES.values()) // 4096


class Ends:
    """Two replicas with memory of their own; `send` brings changes of one to the other."""

    def __init__(self) -> None:
        self.segments = [
            {name: Segment.create(name, size) for name, size in SIZES.items()} for _ in range(2)
        ]
        arrays = [{name: s.array for name, s in end.items()} for end in self.segments]
        self.home, self.away = (Replica(end) for end in arrays)
        self.words = [
            {name: array.view(np.uint64) for name, array in end.items()} for end in arrays
        ]

    def fetch(self, page: int, most: int = 1) -> int:
        count = self.home.run(page, most)
        assert count == self.away.run(page, most)
        before = self.home.count
        self.home.keep(page, count)
        self.away.keep(page, count)
        self.send(self.home, self.away, before)
        return count

    @staticmethod
    def send(source: Replica, target: Replica, first: int = 0) -> int:
        """Pages sent."""
        pages = 0
        while True:
            delta, first = source.changes(first)
            target.apply(Delta.of(delta.fields()))
            pages += len(delta.pages)
            if first == source.count:
                return pages


@pytest.fixture
def ends():
    return Ends()


def test_a_fetched_page_is_as_at_home(ends):
    ends.words[0]["physical"][PAGE_WORDS * 5 + 7] = 99
    ends.words[0]["stream"][1] = 4
    assert ends.fetch(5) == 1 and ends.fetch(SIZES["physical"] >> 12) == 1
    assert ends.words[1]["physical"][PAGE_WORDS * 5 + 7] == 99
    assert ends.words[1]["stream"][1] == 4


def test_a_run_ends_where_pages_are_in_common_and_with_its_segment(ends):
    ends.fetch(8)
    assert ends.home.run(5, 16) == 3 and ends.home.run(8, 16) == 0
    assert ends.home.run(PAGES - 4, 16) == 1  # the last page of physical
    assert ends.home.run(PAGES - 1, 16) == 1
    with pytest.raises(ProtocolError, match=f"page {PAGES}"):
        ends.home.run(PAGES, 1)


def test_what_nobody_changed_is_not_sent(ends):
    ends.words[0]["physical"][:] = 3
    ends.fetch(0, 64)
    assert ends.send(ends.home, ends.away) == ends.send(ends.away, ends.home) == 0
    ends.words[1]["physical"][PAGE_WORDS * 9] = 4
    assert ends.send(ends.home, ends.away) == 0
    assert ends.send(ends.away, ends.home) == 1
    assert ends.words[0]["physical"][PAGE_WORDS * 9] == 4


def test_words_that_both_ends_changed_in_one_page_are_merged(ends):
    ends.fetch(0)
    ends.words[0]["physical"][3] = 30
    ends.words[1]["physical"][4] = 40
    ends.send(ends.away, ends.home)
    assert list(ends.words[0]["physical"][3:5]) == [30, 40]
    ends.send(ends.home, ends.away)
    assert list(ends.words[1]["physical"][3:5]) == [30, 40]
    assert ends.send(ends.home, ends.away) == ends.send(ends.away, ends.home) == 0


def test_many_pages_come_in_parts(ends):
    ends.fetch(0, DELTA_PAGES_MAX + 100)
    ends.words[1]["physical"][: (DELTA_PAGES_MAX + 100) * PAGE_WORDS] = 8
    assert ends.send(ends.away, ends.home) == DELTA_PAGES_MAX + 100
    assert (ends.words[0]["physical"][: (DELTA_PAGES_MAX + 100) * PAGE_WORDS] == 8).all()


def test_what_is_forgotten_can_be_fetched_again(ends):
    ends.words[0]["physical"][7] = 9
    ends.fetch(0, 8)
    for end in (ends.home, ends.away):
        end.forget()
    for segment in ends.segments[1].values():
        segment.clear()
    assert not ends.words[1]["physical"].any() and ends.words[0]["physical"][7] == 9
    assert ends.send(ends.home, ends.away) == 0
    ends.fetch(0, 8)
    assert ends.words[1]["physical"][7] == 9


@pytest.mark.parametrize("seed", range(5))
def test_random_turns_of_two_ends(ends, seed):
    chance = np.random.default_rng(seed)
    alone = {name: np.zeros(size // 8, np.uint64) for name, size in SIZES.items()}
    for turn in range(60):
        away = bool(turn % 2)
        if away:
            ends.send(ends.home, ends.away)
        for _ in range(chance.integers(1, 40)):
            name = str(chance.choice(list(SIZES)))
            word = int(chance.integers(min(SIZES[name], 1 << 19) // 8))
            if away and ends.away.run(page := ends.away.page(name, word * 8), 8):
                ends.fetch(page, int(chance.integers(1, 9)))
            memory = ends.words[away][name]
            assert memory[word] == alone[name][word], (turn, name, word)
            memory[word] = alone[name][word] = chance.integers(1 << 62)
        if away:
            ends.send(ends.away, ends.home)
    for name, words in alone.items():
        assert (ends.words[0][name] == words).all()


@pytest.mark.parametrize(
    ("pages", "masks", "words"),
    [([1], 1, 1), ([0], 1, 2), ([0, 0], 1, 1), ([PAGES], 1, 1), ([1 << 63], 1, 1)],
)
def test_a_delta_that_cannot_be_is_refused_and_changes_nothing(ends, pages, masks, words):
    ends.fetch(0)
    rows = np.zeros((masks, 8), np.uint64)
    rows[:, 0] = 1
    delta = Delta(np.array(pages, np.uint64), rows, np.full(words, 77, np.uint64))
    with pytest.raises(ProtocolError, match="delta of"):
        ends.home.apply(Delta.of(delta.fields()))
    assert not ends.words[0]["physical"].any()
