"""What does a round trip of interrupts take when the latency changes half-way?

stramash run latency_changes --set then=16us
"""

from launch import Scenario


def scenario(latency="2us", then="8us", at="150us", rounds=40):
    """latency, then: before and after.  at: when it changes.  rounds: round trips."""
    play = Scenario(nodes=["x86", "arm"], settings={"ipi.latency_ns": latency})
    play.start("pingpong", on="x86", arguments=[rounds])
    play.start("pingpong", on="arm", arguments=[rounds])
    play.at(at).change("ipi.latency_ns", then)
    play.expect("x86.ipi.sent", equal=rounds)
    play.expect("console", contains="round trips")
    return play
