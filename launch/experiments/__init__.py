"""The paper's experiments, one file each, as data (launch.experiments.declaration)."""

from dataclasses import replace

from cosim.errors import InputError, suggest
from launch.experiments import fig9, fig10, table3
from launch.experiments.declaration import Experiment

# Reasons are looked up by the claim's name: text that grows apart from the numbers.
EXPERIMENTS = {
    module.EXPERIMENT.name: replace(
        module.EXPERIMENT,
        claims=[
            replace(claim, reason=module.REASONS.get(claim.name, ""))
            for claim in module.EXPERIMENT.claims
        ],
    )
    for module in (fig9, fig10, table3)
}


def find(name: str) -> Experiment:
    """The experiment called `name`.  Raises InputError for an unknown one."""
    if name not in EXPERIMENTS:
        hint = suggest(name, EXPERIMENTS) or f"; known are {', '.join(EXPERIMENTS)}"
        raise InputError(f"reproduce {name}: no such experiment{hint}")
    return EXPERIMENTS[name]
