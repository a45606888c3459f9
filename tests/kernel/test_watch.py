"""Does a kernel tell what is waited for, once for each time, and nothing else?"""

from cosim.kernel.watch import Watch


def test_only_what_is_wanted_is_told():
    watch = Watch([["region_begin", "1"], ["console", "done"]])
    assert watch.wants("region_begin", 1)
    assert not watch.wants("region_begin", 2)
    assert not watch.wants("region_end", 1)
    watch.note("region_begin", 1, 0, 100, 7)
    row = {"occurrence": "region_begin", "subject": "1", "home": 0, "pid": 100, "at_ps": 7}
    assert watch.take() == [row]
    assert watch.take() == []


def test_a_text_is_found_across_writes_and_counted_once_each_time():
    watch = Watch([["console", "aba"], ["console", "x"]])
    assert watch.texts(b"ab") == []
    assert watch.texts(b"a") == ["aba"]
    assert watch.texts(b"ba") == []  # the end of one is not the beginning of the next
    assert watch.texts(b"xab") == ["x"]
    assert watch.texts(b"a aba x") == ["aba", "aba", "x"]
