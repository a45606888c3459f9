"""The engine of our own: copy-and-patch translation with the reference stream inlined.

```text
 guest bytes ─ISA decoder─▶ Instruction(row, constants, fields)
                                 │ key = (row, constants)
 stencils:   emitter + LLVM, once per key, kept on disk ─▶ code with holes
 translator: copies stencils, fills holes: one block of at most BLOCK_INSTRUCTIONS
 code_space: where blocks live; links, the jump cache, forgetting
 runtime:    the compiled loop between blocks; TLB fills; flush of records
 engine:     interface.Engine; whatever has no stencil runs on Unicorn, one instruction at a time
 checked:    the engine, compared with Unicorn every so many instructions (oracle, frames,
             difference, bisection); examples: what tests of single forms and `stramash fuzz` draw
```
"""
