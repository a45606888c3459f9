"""Table 3: messages between kernels and replicated pages.

The paper does not say which problem class it counted; its pages fit class A (IS: 16,896 pages of
data), so counts are compared with those of class A only.  Nor does it name a memory model; counts
do not depend on it, and `shared` is taken.
"""

from launch.experiments.declaration import Cell, Claim, Experiment, Reduction, Subject
from launch.experiments.declaration import Count as Counted

SOURCE = "9.2.3, Table 3"
CLASS = ("A",)
POPCORN, STRAMASH = "multi-shm shared", "fused shared"
COUNTERS = {"messages": "messages", "pages_replicated": "replicated pages"}
# Benchmark: counter: Popcorn, Stramash, reduction.
PAPER = {
    "is": {"messages": (207124, 22, 0.9998), "pages_replicated": (16918, 7, 0.9996)},
    "cg": {"messages": (16074, 34, 0.9978), "pages_replicated": (5603, 7, 0.9988)},
    "mg": {"messages": (287672, 6, 0.9999), "pages_replicated": (110275, 9, 0.9999)},
    "ft": {"messages": (164702, 326, 0.9980), "pages_replicated": (98787, 16459, 0.8334)},
}
FEW = (
    "the process is introduced by one message and ended by two; migrations are a record and an "
    "interrupt, and no upper level of a page table is missing, because the home has touched all "
    "arrays before."
)
NO_PAGE = "as the messages: no page had to be made by the home."
FIRST_TOUCHED = (
    "the home makes 31 pages. Those of the index map, 16,417, are touched first by the worker, "
    "which allocates them without a message (pages.remote_allocated); the paper's 16,459 can only "
    "be these, and are no copies."
)
# By name of claim; from runs of class A.
REASONS: dict[str, str] = {
    "is.messages.multi": (
        "4.1 messages a replicated page: a request and a response for the read or the write that "
        "touches it first, an invalidation and its answer when a page that was read is written, "
        "and the way home for the final check. Nothing at home touches the keys between rankings, "
        "so no page moves again; the paper's text does not explain its 12.2 messages a page."
    ),
    "mg.messages.multi": (
        "143,801 requests of the worker for 110,257 pages (33,544 of them are writes to pages that "
        "it had read before) and 33,283 of the home when the work has come back to it, each "
        "answered. The paper's 2.6 messages a page leave no room for a request and an answer each."
    ),
    "ft.messages.multi": (
        "82,310 requests of the worker, one for each of 82,309 pages, and 32,898 of the home when "
        "the work has come back to it, each answered. The paper's 1.7 messages a page are fewer "
        "than a request and an answer for each."
    ),
    "ft.pages_replicated.multi": (
        "65,892 pages of the two grids and 16,417 of the index map, each once. The paper's 16,478 "
        "more are as many as the index map has once more, which the worker touches first."
    ),
    "ft.messages.fused": (
        "31 pages for which an upper level of the home's page table was missing are asked for and "
        "answered; introduction and end of the process are 4 more. Our home's tables lack fewer "
        "upper levels than the paper's 326 messages say."
    ),
    "ft.pages_replicated.fused": FIRST_TOUCHED,
    "ft.pages_replicated.reduction": FIRST_TOUCHED,
    **{f"{benchmark}.messages.fused": FEW for benchmark in ("is", "cg", "mg")},
    **{f"{benchmark}.pages_replicated.fused": NO_PAGE for benchmark in ("is", "cg", "mg")},
}


def claims(benchmark: str, counter: str) -> list[Claim]:
    """The three numbers of a benchmark and a counter."""
    popcorn, stramash = Cell(benchmark, POPCORN), Cell(benchmark, STRAMASH)
    what = f"{benchmark.upper()}: {COUNTERS[counter]}"
    many, few, reduction = PAPER[benchmark][counter]
    front = f"{benchmark}.{counter}"
    return [
        Claim(f"{front}.multi", f"{what}, {POPCORN}", many, SOURCE, Counted(counter, popcorn),
              classes=CLASS),
        Claim(f"{front}.fused", f"{what}, {STRAMASH}", few, SOURCE, Counted(counter, stramash),
              classes=CLASS),
        Claim(f"{front}.reduction", f"{what}, reduction", reduction, SOURCE,
              Reduction(counter, stramash, popcorn)),
    ]  # fmt: skip


EXPERIMENT = Experiment(
    name="table3",
    question="How many messages and copied pages does a fused kernel save?",
    subjects=[Subject(benchmark) for benchmark in PAPER],
    systems=[("multi-shm", "shared"), ("fused", "shared")],
    claims=[
        claim for benchmark in PAPER for counter in COUNTERS for claim in claims(benchmark, counter)
    ],
    counts=True,
)
