"""Futexes: fast user-space locks, whose slow path is here.

The bucket table and the waiters live in simulated memory: a bucket is a lock and the ends of a
first-in first-out list of TASK records (a thread waits on one futex at a time, so its record is the
queue entry).  The key of a private futex is the address space and the virtual address; that of a
shared one is its physical address.  Every operation takes the bucket locks it needs, as a kernel of
another node would.

Source: futex(2); Linux kernel/futex/{waitwake,requeue}.c.  Priority-inheriting operations are not
modelled (ENOSYS).
"""

from contextlib import ExitStack
from typing import NamedTuple

from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.layout import DIRECTORY, Field, Structure
from cosim.kernel.spinlock import Spinlock
from cosim.kernel.task import TASK
from cosim.kernel.waiting import Block, Cause, Interrupted, Wait
from cosim.units import PAGE_BYTES

# fmt: off
BUCKET = Structure("BUCKET", 64, "one futex bucket: its own line, so that buckets do not share", (
    Field("lock",    0, 8, "spinlock (holder's node + 1, 0 = free)"),
    Field("first",   8, 8, "TASK that has waited longest, 0 = nobody"),
    Field("last",   16, 8, "TASK that came last"),
))
# fmt: on

BUCKETS = PAGE_BYTES // BUCKET.size
ANY = 0xFFFF_FFFF  # FUTEX_BITSET_MATCH_ANY
FIRST = BUCKET.offset("first")
LAST = BUCKET.offset("last")
NEXT = TASK.offset("futex_next")
SPACE = TASK.offset("futex_space")
ADDRESS = TASK.offset("futex_address")
BITSET = TASK.offset("futex_bitset")
WAITING = TASK.offset("futex_waiting")
OWN_BUCKET = TASK.offset("futex_bucket")
TID = TASK.offset("tid")


class Key(NamedTuple):
    """What identifies a futex: ADDRESS_SPACE and virtual address, or 0 and the physical address."""

    space: int
    address: int


class FutexTable:
    """The buckets of one node and the operations on them.

    wake_task(tid) makes a waiter that left its bucket runnable; the kernel gives it, so that a
    design with several nodes can send the waiter's node an interrupt.
    """

    def __init__(self, memory, frames, node: int, wake_task) -> None:
        self._memory = memory
        self._wake_task = wake_task
        with memory.uncharged():
            self.table = frames.allocate()
            memory.store(frames.directory + DIRECTORY.offset("futexes"), self.table)
            memory.store(frames.directory + DIRECTORY.offset("futex_count"), BUCKETS)
        self._node = node
        self._locks: dict[int, Spinlock] = {}  # by the bucket's address

    def key(self, space, address: int, private: bool) -> Key:
        """Key of the futex at `address`.  KernelError(EINVAL) when misaligned, (EFAULT) when not
        mapped.
        """
        if address & 3:
            raise KernelError(Errno.EINVAL, f"futex at {address:#x} is not aligned")
        self._memory.charge("futex_operation")
        if private:
            return Key(space.address, address)
        return Key(0, space.translate(address, 0))

    def bucket_index(self, key: Key) -> int:
        """Which bucket a key hashes to: the same on every node."""
        word = key.address >> 2 ^ key.space >> 6
        word ^= word >> 6 ^ word >> 12 ^ word >> 24
        return word % BUCKETS

    def table_of(self, _key: Key) -> int:
        """Physical address of the bucket table a key belongs to."""
        return self.table

    def _lock(self, bucket: int) -> Spinlock:
        lock = self._locks.get(bucket)
        if lock is None:
            name = f"futex bucket at {bucket:#x}"
            lock = self._locks[bucket] = Spinlock(self._memory, bucket, self._node, name)
        return lock

    def _locked(self, stack: ExitStack, *keys: Key) -> list[int]:
        """Take the buckets of `keys`, lower address first; their physical addresses in the order of
        the keys.
        """
        buckets = [self.table_of(key) + self.bucket_index(key) * BUCKET.size for key in keys]
        for bucket in sorted(set(buckets)):
            stack.enter_context(self._lock(bucket))
        return buckets

    def wait(
        self,
        thread,
        address: int,
        value: int,
        *,
        private: bool,
        bitset: int,
        deadline_ps: int | None,
    ) -> int:
        """FUTEX_WAIT: sleep while the word is `value`.  Raises Block; EAGAIN when the word is
        something else.
        """
        if not bitset:
            raise KernelError(Errno.EINVAL, "empty futex bitset")
        space = thread.process.space
        key = self.key(space, address, private)
        with ExitStack() as stack:
            (bucket,) = self._locked(stack, key)
            if space.read_word(address, 4) != value & ANY:
                raise KernelError(Errno.EAGAIN)
            self._append(bucket, thread.descriptor, key, bitset)

        still_there = True

        def leave() -> None:
            nonlocal still_there
            still_there = self.leave(thread.descriptor)

        def finish(cause: Cause) -> int:
            # Woken and timed out at once is woken: somebody counted on it.
            if cause is Cause.EVENT or not still_there:
                return 0
            if cause is Cause.SIGNAL:
                raise Interrupted(restart=deadline_ps is None)
            raise KernelError(Errno.ETIMEDOUT)

        reason = f"futex {address:#x} (expects {value & ANY:#x})"
        raise Block(Wait(reason, finish, deadline_ps, leave))

    def wake(self, key: Key, count: int, bitset: int = ANY) -> int:
        """FUTEX_WAKE: the longest waiters first; how many were woken."""
        with ExitStack() as stack:
            (bucket,) = self._locked(stack, key)
            woken = self._take(bucket, key, count, bitset)
        for task in woken:
            self._wake(task)
        return len(woken)

    def _wake(self, task: int) -> None:
        """The waiter with this TASK record has left its bucket."""
        self._wake_task(self._memory.load(task + TID, 4))

    def requeue(
        self, source: Key, target: Key, wake_count: int, move_count: int
    ) -> tuple[int, int]:
        """FUTEX_REQUEUE: wake some waiters of `source`, move others to `target`; (woken, moved)."""
        with ExitStack() as stack:
            source_bucket, target_bucket = self._locked(stack, source, target)
            woken = self._take(source_bucket, source, wake_count, ANY)
            moved = self._take(source_bucket, source, move_count, ANY)
            for task in moved:
                bitset = self._memory.load(task + BITSET, 4)
                self._append(target_bucket, task, target, bitset)
        for task in woken:
            self._wake(task)
        return len(woken), len(moved)

    def leave(self, task: int) -> bool:
        """Take a waiter out of its bucket (timeout, signal, exit); False when it was woken
        already.
        """
        memory = self._memory
        if not memory.load(task + WAITING, 4):
            return False
        bucket = memory.load(task + OWN_BUCKET)
        with self._lock(bucket):
            before, entry = 0, memory.load(bucket + FIRST)
            while entry != task:
                memory.charge("futex_waiter")
                before, entry = entry, memory.load(entry + NEXT)
            self._unlink(bucket, before, task)
        return True

    def _append(self, bucket: int, task: int, key: Key, bitset: int) -> None:
        memory = self._memory
        memory.charge("futex_waiter")
        for offset, value, size in (
            (NEXT, 0, 8), (SPACE, key.space, 8), (ADDRESS, key.address, 8), (BITSET, bitset, 4),
            (WAITING, 1, 4), (OWN_BUCKET, bucket, 8),
        ):  # fmt: skip
            memory.store(task + offset, value, size)
        last = memory.load(bucket + LAST)
        memory.store(last + NEXT if last else bucket + FIRST, task)
        memory.store(bucket + LAST, task)

    def _take(self, bucket: int, key: Key, count: int, bitset: int) -> list[int]:
        """Unlink up to `count` waiters of `key` that answer to `bitset`, oldest first."""
        memory = self._memory
        taken: list[int] = []
        before, task = 0, memory.load(bucket + FIRST)
        while task and len(taken) < count:
            memory.charge("futex_waiter")
            following = memory.load(task + NEXT)
            matches = (
                memory.load(task + ADDRESS) == key.address
                and memory.load(task + SPACE) == key.space
                and memory.load(task + BITSET, 4) & bitset
            )
            if matches:
                self._unlink(bucket, before, task)
                taken.append(task)
            else:
                before = task
            task = following
        return taken

    def _unlink(self, bucket: int, before: int, task: int) -> None:
        memory = self._memory
        following = memory.load(task + NEXT)
        memory.store(before + NEXT if before else bucket + FIRST, following)
        if not following:
            memory.store(bucket + LAST, before)
        memory.store(task + WAITING, 0, 4)
