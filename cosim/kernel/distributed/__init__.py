"""What every operating-system design over several nodes has, however it shares memory.

```text
 rings, messages    a ring per ordered pair of nodes, announced by interrupt
 processes          processes whose threads are on several nodes: introduced, and ended everywhere
 migration          threads that call a function on another node
 delegation         system calls that the home kernel runs for a thread that is away
```
A process has a *home*: the node whose kernel loaded it.  The fused kernel (cosim.kernel.fused) and
the multiple kernels (cosim.kernel.multiple) put their own memory under these.
"""
