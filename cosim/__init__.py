"""The shared language of the co-simulator: units, messages, time, the mini-kernel and the engine
interface.

Knows no particular instruction set and no cache geometry.
"""
