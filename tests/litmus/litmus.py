"""Litmus tests as text tables: parsed, compiled to one guest program per column, run on the
machine, judged.

```text
    x86             arm
    st x 1          st y 1
    ld y -> a       ld x -> b
    forbid a=0 b=0
```
Columns are separated by two or more spaces and headed by node names; each column becomes a C
program with plain
(relaxed) accesses, so on AArch64 they are ordinary `ldr` and `str`.  Every round has variables of
its own, starts at a barrier in shared memory and after a seeded delay per column, so the columns
meet at many different offsets.
"""

import re
from collections import Counter
from dataclasses import dataclass

ROUNDS_MAX = 512

PROLOGUE = """
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#define ROUNDS_MAX 512
struct shared {
  int arrived[ROUNDS_MAX + 1];
  struct { _Alignas(64) volatile int x; _Alignas(64) volatile int y; } of[ROUNDS_MAX];
  volatile int seen[ROUNDS_MAX][8];
};
static void arrive(struct shared *s, int round, int columns) {
  __atomic_fetch_add(&s->arrived[round], 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&s->arrived[round], __ATOMIC_SEQ_CST) < columns) {}
}
int main(void) {
  int handle = shm_open("/litmus", O_RDWR | O_CREAT, 0600);
  if (handle < 0 || ftruncate(handle, sizeof(struct shared))) return 90;
  struct shared *s = mmap(0, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
  if (s == MAP_FAILED) return 91;
  unsigned random = SEED;
  for (int round = 0; round < ROUNDS; round++) {
    int a = 0, b = 0, c = 0, d = 0;
    arrive(s, round, COLUMNS);
    random = random * 1664525u + 1013904223u;
    for (volatile unsigned wait = (random >> 16) % DELAY; wait; wait--) {}
"""

EPILOGUE = """
    (void)a; (void)b; (void)c; (void)d;
  }
  arrive(s, ROUNDS_MAX, COLUMNS);
  if (COLUMN == 0)
    for (int round = 0; round < ROUNDS; round++) {
      for (int i = 0; i < RESULTS; i++) printf("%c=%d ", 'a' + i, s->seen[round][i]);
      printf("\\n");
    }
  return 0;
}
"""


@dataclass(frozen=True)
class Litmus:
    """One parsed table.  columns: (node, operations); forbidden: excluded outcomes."""

    columns: tuple[tuple[str, tuple[str, ...]], ...]
    forbidden: tuple[dict[str, int], ...]

    @property
    def results(self) -> list[str]:
        """Names of the registers that are looked at, in order: a, b, ..."""
        text = " ".join(op for _, operations in self.columns for op in operations)
        return sorted(set(re.findall(r"-> (\w)", text)))


def parse(table: str) -> Litmus:
    """The Litmus of a text table; ValueError names a line that is neither of ours."""
    lines = [line.strip() for line in table.strip().splitlines()]
    nodes = lines[0].split()
    operations: list[list[str]] = [[] for _ in nodes]
    forbidden = []
    for line in lines[1:]:
        if line.startswith("forbid"):
            forbidden.append({k: int(v) for k, v in re.findall(r"(\w)=(\d+)", line)})
            continue
        cells = re.split(r"\s{2,}", line)
        if len(cells) > len(nodes):
            raise ValueError(f"litmus line {line!r}: more cells than the {len(nodes)} columns")
        for column, cell in enumerate(cells):
            if cell != "-":
                operations[column].append(cell)
    return Litmus(tuple(zip(nodes, map(tuple, operations), strict=True)), tuple(forbidden))


def statement(operation: str) -> str:
    """C for one operation: `st x 1` or `ld y -> a`."""
    if store := re.fullmatch(r"st (\w) (\d+)", operation):
        return f"    s->of[round].{store[1]} = {store[2]};\n"
    if load := re.fullmatch(r"ld (\w) -> (\w)", operation):
        return f"    {load[2]} = s->of[round].{load[1]};\n"
    raise ValueError(
        f"litmus operation {operation!r}: expected `st VARIABLE VALUE` or `ld VARIABLE -> REGISTER`"
    )


def program(litmus: Litmus, column: int, *, rounds: int, seed: int, delay: int) -> str:
    """C source of one column.  rounds <= ROUNDS_MAX; delay: loop iterations, exclusive."""
    facts = {
        "ROUNDS": rounds,
        "COLUMNS": len(litmus.columns),
        "COLUMN": column,
        "DELAY": delay,
        "SEED": f"{(seed * 97 + column * 1299721) & 0xFFFFFFFF}u",
        "RESULTS": len(litmus.results),
    }
    defines = "".join(f"#define {name} {value}\n" for name, value in facts.items())
    operations = litmus.columns[column][1]
    body = "".join(map(statement, operations))
    # Results are published after the last operation, so that nothing stands between the operations
    # under test.
    loaded = re.findall(r"-> (\w)", " ".join(operations))
    publish = "".join(f"    s->seen[round][{ord(r) - ord('a')}] = {r};\n" for r in loaded)
    return defines + PROLOGUE + body + publish + EPILOGUE


def outcomes(console: str) -> Counter[str]:
    """How often each outcome was seen, from what column 0 printed."""
    return Counter(line.strip() for line in console.splitlines() if "=" in line)


def violations(litmus: Litmus, seen: Counter[str]) -> list[str]:
    """Outcomes that were seen and are forbidden."""
    found = []
    for outcome in seen:
        values = {k: int(v) for k, v in re.findall(r"(\w)=(\d+)", outcome)}
        if any(all(values.get(k) == v for k, v in bad.items()) for bad in litmus.forbidden):
            found.append(outcome)
    return found
