"""The fused kernel: one operating system out of the kernels of several instruction sets.

Kernels share structures, not messages: each reads and writes what the others keep in coherent
memory, in declared layouts (the paper, sections 5 and 6).  One module per mechanism:

```text
 remote_cpu         the other ISA's page tables, read and written in their own format
 address_space      one tree of areas, one page table per kernel over the same frames
 migration          threads handed over in a record, with one interrupt
 processes          what a node is told of a process before its threads come
 delegation         which system calls run where a thread is
 futex              the bucket table that all kernels use
 namespaces         one host name, list of CPUs and space of ids
 frames, allocator  who owns which memory, and how it changes hands
 services           the parts put together, for cosim.kernel.kernel.Services
```
A process has a *home*: the node whose kernel loaded it.  Its ADDRESS_SPACE record and the tree of
areas are in the home's memory; every node that runs its threads adds page tables of its own.
"""
