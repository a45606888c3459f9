"""Figure 10: CG reads and IS writes; what does an L3 of 32 MiB instead of 4 MiB change?"""

from launch.experiments.declaration import (
    Cell,
    Claim,
    Experiment,
    Largest,
    Relation,
    Subject,
    TimeRatio,
)
from launch.experiments.fig9 import CG_STAYS, IS_AMORTISES

SMALL, LARGE = "L3 4 MiB", "L3 32 MiB"
SIZES = {SMALL: "4MiB", LARGE: "32MiB"}
APART = ("separated", "shared")
CG_FITS = (
    "the matrix is 22 MiB (5,586 pages), which fits into 32 MiB and not into 4: local memory falls "
    "from 72 % of the time to 1 %, and vanilla gains as much (29,094 to 11,705 ms). The paper says "
    "the same of the fused kernel; copies of the same pages cannot be exempt."
)
# By name of claim; from runs of class A.
REASONS: dict[str, str] = {
    "cg.small": CG_STAYS,
    "is.small": IS_AMORTISES,
    "is.large": (
        "as with 4 MiB: the keys are 66 MiB (16,900 pages), twice the larger L3, which takes 5.6 % "
        "of the fused kernel's time away (11,790 to 11,124 ms) and 4.4 % of that with messages."
    ),
    "cg.shm_separated": CG_FITS,
    "cg.shm_shared": CG_FITS,
}


def slowdown(size: str) -> Largest:
    """CG: the fused kernel by shared-memory messages, the worse of two models."""
    subject = f"cg {size}"
    return Largest(
        [TimeRatio(Cell(subject, f"fused {m}"), Cell(subject, f"multi-shm {m}")) for m in APART]
    )


def gain(size: str) -> Largest:
    """IS: shared-memory messages by the fused kernel, the better of two models."""
    subject = f"is {size}"
    return Largest(
        [TimeRatio(Cell(subject, f"multi-shm {m}"), Cell(subject, f"fused {m}")) for m in APART]
    )


CLAIMS = (
    Claim("cg.small", "CG, 4 MiB: fused by multi-shm", 1.34, "9.2.2: 34 %", slowdown(SMALL)),
    Claim(
        "cg.large",
        "CG, 32 MiB: fused by multi-shm",
        1.01,
        "9.2.2: below 1 %",
        slowdown(LARGE),
        Relation.AT_MOST,
    ),
    Claim("is.small", "IS, 4 MiB: multi-shm by fused", 2.1, "9.2.2: 2.1X", gain(SMALL)),
    Claim("is.large", "IS, 32 MiB: multi-shm by fused", 1.6, "9.2.2: 1.6X", gain(LARGE)),
    *(
        Claim(
            f"cg.shm_{model}",
            f"CG, multi-shm {model}: 4 MiB by 32 MiB",
            1.0,
            "9.2.2: remains stable regardless of cache size",
            TimeRatio(
                Cell(f"cg {SMALL}", f"multi-shm {model}"), Cell(f"cg {LARGE}", f"multi-shm {model}")
            ),
        )
        for model in APART
    ),
)

EXPERIMENT = Experiment(
    name="fig10",
    question="Does a larger L3 take away the cost of remote memory?",
    subjects=[
        Subject(benchmark, size, {"cache.l3.size": value})
        for benchmark in ("cg", "is")
        for size, value in SIZES.items()
    ],
    systems=[(design, model) for design in ("multi-shm", "fused") for model in APART],
    claims=CLAIMS,
)
