"""Devices of the machine: what stands at the physical addresses that are not memory."""
