"""The launch layer: starts machines, collects what they say, shows it.  `Machine`, `compare`,
`Scenario` and `bench` are its Python interface."""

from launch.comparison import Comparison, compare
from launch.machine import Machine, Run
from launch.scenario import BrokenExpectation, Scenario
from launch.sweeps import Bench, bench

__all__ = [
    "Bench",
    "BrokenExpectation",
    "Comparison",
    "Machine",
    "Run",
    "Scenario",
    "bench",
    "compare",
]
