"""System calls whose results go to pages that are on another node: they wait at their end.

A call that waits for a page in its middle is run again from its start, which it must not notice:
it may not have changed anything yet.  Calls read user memory first, so that holds for reading.
What they write they write last, when a file has been read or a descriptor made.  So a write that
would wait is kept, and made when the call is done, before the thread goes on.
"""

from collections.abc import Callable

from cosim.kernel.waiting import Block, Cause, PageWait, Wait


def late(function: Callable) -> Callable:
    """A system call that makes its writes to pages elsewhere after everything else."""

    def call(kernel, thread, *arguments: int) -> int | None:
        return _guarded(thread, lambda: function(kernel, thread, *arguments))

    return call


def _guarded(thread, work: Callable[[], int | None]) -> int | None:
    """Do a call, or the rest of one after a wait, and then its late writes."""
    kept: list[tuple[int, bytes]] = []
    thread.late_writes = kept
    try:
        result = work()
    except PageWait:
        raise  # it is run again from its start
    except Block as block:
        _guard_rest(thread, block.wait)
        raise
    finally:
        thread.late_writes = None
    return _write(thread, kept, result)


def _guard_rest(thread, wait: Wait) -> None:
    """What comes after a wait is part of the call."""
    if not wait.guarded:
        then = wait.finish
        wait.finish = lambda cause: _guarded(thread, lambda: then(cause))
        wait.guarded = True


def _write(thread, kept: list[tuple[int, bytes]], result: int | None) -> int | None:
    """Make the writes that were kept; raises Block while a page is on its way."""
    space = thread.process.space
    while kept:
        try:
            space.write(*kept[0])
        except PageWait as block:
            inner = block.wait

            def finish(cause: Cause, inner: Wait = inner) -> int | None:
                inner.finish(cause)
                return result if cause is Cause.SIGNAL else _write(thread, kept, result)

            wait = Wait(inner.reason, finish, inner.deadline_ps, inner.leave, killable=True)
            raise Block(wait) from None
        kept.pop(0)
    return result
