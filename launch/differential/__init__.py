"""The two engines against each other, as tools: `stramash verify` and `stramash fuzz`.

```text
 verify   a machine with engine=checked runs a program          (cosim.engine.native.checked)
 fuzz     rows ─examples─▶ sequences ─▶ a bare machine with the same engine ─▶ minimise what differs
```
"""
