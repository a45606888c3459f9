"""How long is a round trip of inter-processor interrupts, for a latency of the interrupt?

stramash bench ipi_latency --set latency=1us,2us,4us,8us
"""

import re

from launch import Scenario


def round_trip_ns(run):
    """What the program on node 0 prints."""
    return int(re.findall(r"(\d+) ns each", run.console)[0])


def scenario(latency="2us", rounds=20):
    """latency: of an interrupt, from sending to delivery.  rounds: round trips."""
    play = Scenario(nodes=["x86", "arm"], settings={"ipi.latency_ns": latency})
    play.start("pingpong", on="x86", arguments=[rounds])
    play.start("pingpong", on="arm", arguments=[rounds])
    play.expect("x86.ipi.sent", equal=rounds)
    play.measure("machine.virtual_time_ns", "x86.ipi.sent", round_trip_ns=round_trip_ns)
    return play
