"""An address space that kernels share: one record and tree of areas, a page table per kernel.

```text
              ADDRESS_SPACE record, AREA tree (home's memory)
                /            |              \\
      x86-64 tables    AArch64 tables    RISC-V tables      (each made by its own kernel)
                \\            |              /
                 the same frames (but for PER_ISA areas)
```
Every kernel works on the record itself, under its locks; what one maps, the others find when they
fault.  When mappings are reduced, the entries of all tables are cleared at once under the
cross-ISA page-table lock, and every other node with threads of the process gets an interrupt.

Engines must not use a translation that another kernel took back.  The record's generation moves
with every reduction; a core compares it when it gets a turn, and forgets what it cached.  That
costs nothing in the simulated world, where the interrupt is what is charged.
"""

from cosim.broker import Function
from cosim.errors import InputError, InvariantError
from cosim.kernel.address_space import GENERATION, AddressSpace
from cosim.kernel.distributed.own_pages import own_page
from cosim.kernel.layout import ADDRESS_SPACE, NODES_MAX, AreaKind
from cosim.kernel.loader import Image
from cosim.kernel.mapping import Signal
from cosim.kernel.page_tables import PageTable
from cosim.kernel.vma import Vma
from cosim.kernel.waiting import Cause, PageWait, Wait

NODE = ADDRESS_SPACE.offset("node")


class FusedAddressSpace(AddressSpace):
    """See the module.  home: index of the node whose kernel made the record.

    image: this kernel's own program, which fills PER_ISA areas; set by whoever loads it.
    """

    def __init__(self, kernel, record: int = 0) -> None:
        """Make an address space, or with `record` use another kernel's.  KernelError(ENOMEM)."""
        if len(kernel.node_rows) > NODES_MAX:
            raise InputError(
                f"fused kernel: {len(kernel.node_rows)} nodes, at most {NODES_MAX} can share an "
                "address space"
            )
        self.kernel = kernel
        self.node = kernel.node_index
        self.remote_cpu = kernel.remote_cpu
        self.policy = kernel.page_policy
        self.image: Image | None = None
        if record:
            self._use(kernel, record, attach=True)
        else:
            super().__init__(kernel)
        self.home = self.memory.load(self.address + NODE, 4)
        self.remote_cpu.announce(
            self.address, self.node, kernel.isa, kernel.levels, self.page_table.root
        )

    @property
    def is_home(self) -> bool:
        """Did this kernel make it?"""
        return self.home == self.node

    def other_nodes(self) -> list[int]:
        """Nodes, other than this one, that have page tables for it."""
        return [
            node
            for node in self.kernel.nodes()
            if node != self.node and self.remote_cpu.table(self.address, node) is not None
        ]

    def tables(self) -> list[PageTable]:
        """See Areas.tables."""
        found = [self.remote_cpu.table(self.address, node) for node in self.kernel.nodes()]
        others = [t for t in found if t is not None and t.root != self.page_table.root]
        return [self.page_table, *others]

    def home_table(self) -> PageTable:
        """The home's tables: every shared page that exists has an entry there."""
        table = self.remote_cpu.table(self.address, self.home)
        if table is None:
            raise InvariantError(
                f"address space at {self.address:#x}: its home, node {self.home}, has no page "
                f"tables any more, but node {self.node} still uses it"
            )
        return table

    # --- faults ---

    def supply(self, area: Vma, page: int, *, write: bool) -> bool:
        """See AddressSpace.supply: the policy decides."""
        return self.policy.supply(self, area, page, write=write)

    def own_page(self, area: Vma, page: int) -> int:
        """A frame with this kernel's own program's bytes for a page of a PER_ISA area."""
        assert self.image is not None
        return own_page(self, self.image, area, page)

    def ask_home(self, page: int, *, write: bool) -> PageWait:
        """The wait of a fault that only the home can resolve; raise it."""
        return self.kernel.remote_pages.ask(self, page, write=write)

    def out_of_memory(self, address: int) -> Signal:
        """A fault without a frame waits for memory that is on its way from another kernel."""
        allocator = self.kernel.allocator
        if allocator is None or not allocator.worth_waiting():
            return super().out_of_memory(address)
        thread = self.kernel.current_thread()
        queue = allocator.changed
        queue.add(thread)

        def finish(_cause: Cause) -> None:
            return None  # the access is made again

        raise PageWait(
            Wait("memory from another kernel", finish, leave=lambda: queue.remove(thread))
        )

    def populate(self, address: int, length: int) -> None:
        """See AddressSpace.populate; pages that the home would have to supply stay out."""
        try:
            super().populate(address, length)
        except PageWait as wait:
            wait.wait.leave()

    def change_protection(self, area: Vma, protection: int) -> None:
        """See Areas.change_protection."""
        self.policy.unify(self, area.start, area.end)
        super().change_protection(area, protection)

    def move(self, start: int, end: int, target: int, length: int, freed: int = 0) -> int:
        """See Areas.move."""
        self.policy.unify(self, start, end)
        return super().move(start, end, target, length, freed)

    # --- what others must know ---

    def translations_changed(self, pages: list[int]) -> None:
        """See AddressSpace.translations_changed; other nodes' cores pay with one interrupt each."""
        if not pages:
            return
        super().translations_changed(pages)
        void_translations(self.kernel, self.address)

    def translation_renewed(self, page: int) -> None:
        """See AddressSpace.translation_renewed; nobody else is concerned."""
        super().translations_changed([page])

    def needs_home(self, start: int, end: int) -> bool:
        """Is there an area in [start, end) whose source only the home kernel has?"""
        kinds = (AreaKind.FILE, AreaKind.SHARED_FILE)
        return any(area.kind in kinds for area in self.tree.overlapping(start, end))

    def detach(self) -> None:
        """Give back what this kernel, not the home, made: its program's pages and its tables."""
        own: list[int] = []
        home = self.home_table()
        with self.table_lock:
            for area in self.tree.all():
                for virtual, slot, found in self.page_table.pages(area.start, area.end):
                    self.page_table.clear(slot)
                    place = home.slot(virtual, create=False)
                    shared = home.read_slot(place) if place else None
                    if shared is None or shared.physical != found.physical:
                        own.append(found.physical)
            self.remote_cpu.withdraw(self.address, self.node)
        for frame in own:
            self.frames.free(frame)
        self.page_table.destroy()

    def destroy(self) -> None:
        """See AddressSpace.destroy; other kernels have detached."""
        super().destroy()
        self.remote_cpu.forget(self.address)


def void_translations(kernel, space: int) -> None:
    """No core may use what it cached before of the ADDRESS_SPACE at `space`.

    Moving the generation is an engine event, neither charged nor recorded; the interrupts to other
    nodes' cores are what the shootdown costs.
    """
    at = space + GENERATION
    kernel.memory.poke(at, kernel.memory.peek(at) + 1)
    if kernel.memory.core is None:
        return  # the machine stands still: no core translates anything
    for node in kernel.nodes():
        if node != kernel.node_index and kernel.remote_cpu.threads(space, node):
            for core in range(kernel.node_rows[node]["cores"]):
                target = kernel.machine_core(node, core)
                kernel.send_interrupt(target, Function.CALL_FUNCTION, 0)


def translations_moved(kernel, space: int, pages: list[int]) -> None:
    """Pages of the ADDRESS_SPACE at `space` are in other frames now, in all tables."""
    kernel.memory.charge("tlb_flush", len(pages))
    for lane in kernel.scheduler.lanes:
        if lane.loaded_space is not None and lane.loaded_space.address == space:
            lane.core.engine.flush_tlb()
    void_translations(kernel, space)
