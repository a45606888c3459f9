"""How long does a visit to every node take when a node joins half-way?

stramash bench attach_half_way --set at=20us,200us,400us
"""

from launch import Scenario


def scenario(os="fused", isa="aarch64", at="200us"):
    """os: design.  isa: of the node that joins.  at: when."""
    play = Scenario(nodes=["x86", "arm"], os=os, settings={"memory.attach_shares": 1})
    play.start("migrate", on="x86")
    play.at(at).attach(isa, name="late")
    play.expect("exit_status", equal=0)
    play.expect("console", contains="PASS node 2: the function ran there")
    play.measure("machine.virtual_time_ns", "x86.migrations.sent", "late.migrations.received")
    return play
