"""The launch layer: starts machines, collects what they say, shows it.  `Machine` and `compare` are
its Python interface."""

from launch.comparison import Comparison, compare
from launch.machine import Machine, Run

__all__ = ["Comparison", "Machine", "Run", "compare"]
