"""Multiple kernels, the Popcorn baseline: every kernel has its own memory, and they exchange
messages.

A process's pages move between kernels by page-granular distributed shared memory: the home is the
directory, one node may write a page or several may read it, and a write invalidates the copies
(sources: Popcorn Linux; the paper, 8.2 and 9.2).  One module per mechanism:

```text
 ownership       who has a page: a word each, in tables like page tables
 serialisation   what happens when several want one page at once
 pages           a fault's way to its page: what the home and what the others do, message by message
 areas           areas by request, and what the home tells those who cached them
 address_space   a process's memory as one kernel sees it
 migration       threads that travel in messages
 processes       who has to know of a process
 network         messages without shared memory (multi-tcp)
 services        the parts put together, for cosim.kernel.kernel.Services
```
"""
