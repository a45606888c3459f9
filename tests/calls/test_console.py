"""Does output reach the serial port of the node that owns it, with the accesses a driver makes?"""

from cosim.devices.uart import DATA_WRITE, FIFO_BYTES, STATUS_READ, driver_references
from cosim.engine.stream import Kind, Mode, decode
from tests.calls.machine import Machine, compiled

HELLO = "#include <unistd.h>\nint main(void) { return write(1, TEXT, sizeof TEXT - 1) < 0; }\n"


def hello(isa: str, text: str, **options) -> Machine:
    machine = Machine(isa, **options)
    machine.load(compiled(HELLO.replace("TEXT", f'"{text}"'), isa))
    machine.run()
    return machine


def test_one_status_read_per_fifo_filling():
    references = driver_references(FIFO_BYTES * 2 + 1)
    assert references.count(STATUS_READ) == 3
    assert references.count(DATA_WRITE) == 33
    assert references[0] == references[FIFO_BYTES + 1] == STATUS_READ
    assert decode(STATUS_READ) == (Kind.LOAD, Mode.UNCACHED, 1, 0xC000_0005)
    assert decode(DATA_WRITE) == (Kind.STORE, Mode.UNCACHED, 1, 0xC000_0000)
    assert driver_references(0) == []


def test_the_owner_keeps_a_transcript():
    machine = hello("x86_64", "ping")
    assert machine.output == "ping"
    assert machine.kernel.transcript() == b"ping"
    assert machine.outbox.devices == []
    machine.kernel.device({"device": "uart0", "source": "arm", "sent_ps": 5, "value": b"pong"})
    assert machine.kernel.transcript() == b"pingpong"


def test_another_node_redirects():
    machine = hello("aarch64", "pong", index=1)
    assert machine.output == "pong"
    assert machine.kernel.transcript() is None
    (message,) = machine.outbox.devices
    assert (message["device"], message["source"], message["value"]) == ("uart0", "arm", b"pong")
    assert 0 < message["sent_ps"] <= machine.cores[0].now_ps()
