"""The launch layer: starts machines, collects what they say, shows it.  `Machine` is its Python
interface."""

from launch.machine import Machine, Run

__all__ = ["Machine", "Run"]
