"""The protocols between the processes of a machine; importing this package declares all of them."""

from cosim.protocol import control, outside, pages, telemetry, turns

__all__ = ["control", "outside", "pages", "telemetry", "turns"]
