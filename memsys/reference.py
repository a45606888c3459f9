"""The memory system in plain dictionaries: slow, obvious, and the definition of what is right.

memsys.kernels must agree with it access for access: who served, what it cost, every counter and
every copy left behind.  The order of events within one access, top down, is part of the definition:
each level makes room before it asks the next one; then the directory acts; then data comes up.

Rules worth knowing (sources: gem5's MESI_Three_Level as measured in tests/golden/gem5; the paper,
8.1):
- LRU of a level moves only by requests that reach it.  Write-backs, snoops and notices never move
  it.
- Dirty data found on the way out of an inner cache goes with the victim.
- A store by a sharer below an L3 with a directory asks the L3: a miss in L1D and L2, an L3 upgrade.
  A core alone in its domain needs no L3 for that: its S copy means that other *domains* may share,
  and the store is a hit that waits for SnpInv.
- Snoops of one access go out together: it pays the price of a kind once, however many were sent.
- A core's own store also takes the line out of its L1I; a fetch of a line that its L1D holds in M
  first cleans L1D, so that the next store is seen again.
- `nine`: no level forces another.  A dirty victim goes to the next level that has the line, else to
  memory; it never allocates.  L2 asks L1D before it misses on a fetch.
"""

from cosim.engine.stream import Kind, Mode, certain_hits, decode
from cosim.units import LINE_BYTES, LINE_SHIFT
from memsys.coherence import Served, State
from memsys.reference_state import Entry, ReferenceState
from memsys.specification import Domain

I, S, E, M = State  # noqa: E741
OWN, REMOTE, RECALL = "OWN", "REMOTE", "RECALL"  # why a copy is lost


class ReferenceMemory(ReferenceState):
    """All caches and directories, driven by `access` (a line) or `record` (a stream record)."""

    # --- records and accesses ----------------------------------------------------------------

    def record(self, core: int, word: int) -> int:
        """Consume one stream record of a core; the cycles charged."""
        kind, mode, size, address = decode(word)
        if kind == Kind.HITS:
            return self._certain_hits(core, word, mode)
        if mode == Mode.UNCACHED:
            cost = self._device(core, address)
            self._count(core, "CYCLES_KERNEL", cost)
            return cost
        if kind in (Kind.LOAD_REST, Kind.STORE_REST):
            kind -= Kind.LOAD_REST
            self._count(core, "L1D_SPLITS")
        elif kind != Kind.FETCH:
            self._count(core, "REFERENCES_USER" if mode == Mode.USER else "REFERENCES_KERNEL")
        if mode == Mode.KERNEL_IDEAL:
            self._count(core, "REFERENCES_IDEAL")
            return 0
        cost = self.access(core, kind, address >> LINE_SHIFT)[1]
        if kind != Kind.FETCH and address % LINE_BYTES + size > LINE_BYTES:
            self._count(core, "L1D_SPLITS")
            cost += self.access(core, kind, (address >> LINE_SHIFT) + 1)[1]
        self._count(core, "CYCLES_USER" if mode == Mode.USER else "CYCLES_KERNEL", cost)
        return cost

    def _certain_hits(self, core: int, word: int, mode: int) -> int:
        """Count references that hit in the first level and change nothing there."""
        loads, stores, fetches = certain_hits(word)
        for name, count in (("LOAD", loads), ("STORE", stores)):
            self._count(core, f"L1D_{name}S", count)
            self._count(core, f"L1D_{name}_HITS", count)
        self._count(core, "FETCHES", fetches)
        self._count(core, "L1I_LINE_HITS", fetches)
        user = mode == Mode.USER
        self._count(core, "REFERENCES_USER" if user else "REFERENCES_KERNEL", loads + stores)
        prices = self.specification.cores[core].prices
        cost = (loads + stores) * prices.l1 + fetches * prices.fetch_hit
        self._count(core, "CYCLES_USER" if user else "CYCLES_KERNEL", cost)
        return cost

    def access(self, core: int, kind: int, line: int) -> tuple[Served, int]:
        """One access to one line; (who served it, cycles)."""
        self.cost = 0
        if kind == Kind.FETCH:
            served = self._fetch(core, line)
        else:
            served = self._data(core, kind, line)
        return served, self.cost

    def _device(self, core: int, address: int) -> int:
        prices, node = self._core(core).prices, self._core(core).node
        owner = self.specification.map.device_owner(address)
        local = self.specification.map.is_local(node, address) if owner is None else owner == node
        self._count(core, "DEVICES_LOCAL" if local else "DEVICES_REMOTE")
        return prices.memory if local else prices.remote

    # --- first level -------------------------------------------------------------------------

    def _data(self, core: int, kind: int, line: int) -> Served:
        store = kind != Kind.LOAD
        l1d, state = self.l1d[core], self.l1d[core].get(line)
        self._count(core, "L1D_STORES" if store else "L1D_LOADS")
        if line >= self.specification.line_count:
            # Keeps hits + misses = accesses: the caller sees the count of accesses outside.
            self._count(core, "L1D_STORE_HITS" if store else "L1D_LOAD_HITS")
            self._count(core, "REFERENCES_OUTSIDE")
            return Served.OUTSIDE
        if state != I:
            l1d.touch(line)
        if state != I and not (store and state == S and self._domain(core).has_directory):
            self._count(core, "L1D_STORE_HITS" if store else "L1D_LOAD_HITS")
            self.cost += self._core(core).prices.l1
            if store and state == S:
                self._upgrade(core, line)
            if store and state != M:
                self._count(core, "L1D_SILENT_UPGRADES", int(state == E))
                self._own_line(core, line)
            return Served.L1
        if not store:
            self._count(core, "L1D_LOAD_MISSES")
        else:
            self._count(core, "L1D_STORE_ABSENT" if state == I else "L1D_STORE_SHARED")
        if state == I:
            self._make_room_l1d(core, line)
        return self._second_level(core, kind, line)

    def _fetch(self, core: int, line: int) -> Served:
        l1i, l1d, l2 = self.l1i[core], self.l1d[core], self.l2[core]
        self._count(core, "FETCHES")
        if line >= self.specification.line_count:
            self._count(core, "L1I_LINE_HITS")
            self._count(core, "REFERENCES_OUTSIDE")
            return Served.OUTSIDE
        if l1i.get(line) != I:
            l1i.touch(line)
            self._count(core, "L1I_LINE_HITS")
            self.cost += self._core(core).prices.fetch_hit
            return Served.L1
        self._count(core, "L1I_MISSES")
        self._make_room_l1i(core, line)
        state = l1d.get(line)
        if state != I and l2.get(line) == I:  # only in `nine`
            self._make_room_l2(core, line)
            l2.insert(line, state)
        if state == M:
            l1d.change(line, E)
            l2.change(line, M)
        return self._second_level(core, Kind.FETCH, line)

    def _own_line(self, core: int, line: int) -> None:
        """L1D has the line in M from now on, and the core's L1I not at all."""
        if self.l1d[core].get(line) == I:
            self.l1d[core].insert(line, M)
        self.l1d[core].change(line, M)
        if self.l1i[core].get(line) != I:
            self.l1i[core].change(line, I)
            self._count(core, "L1I_LOST")

    def _fill_first(self, core: int, kind: int, line: int, state: State) -> None:
        """Bring the line into L1I or L1D; room was made."""
        if kind == Kind.FETCH:
            self.l1i[core].insert(line, S)
            return
        self.maybe_l1d[core].add(line)
        if kind == Kind.LOAD:
            self.l1d[core].insert(line, S if state == S else E)
        else:
            self._own_line(core, line)

    def _make_room_l1d(self, core: int, line: int) -> None:
        victim = self.l1d[core].victim(line)
        if victim is None:
            return
        state = self.l1d[core].get(victim)
        self.l1d[core].change(victim, I)
        self._count(core, f"L1D_EVICTIONS_{state.name}")
        if state != S:
            self.maybe_l1d[core].discard(victim)
        if state == M:
            self._write_outward(core, victim)
        if not self.specification.inclusive:
            self._copy_left(core, victim, state != S)

    def _make_room_l1i(self, core: int, line: int) -> None:
        victim = self.l1i[core].victim(line)
        if victim is None:
            return
        self.l1i[core].change(victim, I)
        self._count(core, "L1I_EVICTIONS")
        if not self.specification.inclusive:
            self._copy_left(core, victim, False)

    # --- second level ------------------------------------------------------------------------

    def _second_level(self, core: int, kind: int, line: int) -> Served:
        store = kind in (Kind.STORE, Kind.ATOMIC_LOAD)
        name = "STORE" if store else "FETCH" if kind == Kind.FETCH else "LOAD"
        l2, state = self.l2[core], self.l2[core].get(line)
        self._count(core, "L2_ACCESSES")
        if state != I:
            l2.touch(line)
        if state != I and not (store and state == S and self._domain(core).has_directory):
            self._count(core, f"L2_{name}_HITS")
            self.cost += self._core(core).prices.l2
            if store and state == S:
                self._upgrade(core, line)
            self._fill_first(core, kind, line, state)
            return Served.L2
        if not store:
            self._count(core, f"L2_{name}_MISSES")
        else:
            self._count(core, "L2_STORE_ABSENT" if state == I else "L2_STORE_SHARED")
        upgrade = store and (state != I or self.l1d[core].get(line) != I)
        if not upgrade:
            self._make_room_l2(core, line)
        served, state = self._third_level(core, store, line, upgrade)
        if not upgrade:
            l2.insert(line, state)
        elif l2.get(line) != I:
            l2.change(line, E)
        self._fill_first(core, kind, line, state)
        return served

    def _upgrade(self, core: int, line: int) -> None:
        """A core alone in its domain stores to an S line: ask the other domains, then own it."""
        domain = self._core(core).domain
        self._ask_domains(core, line, store=True)
        self.l2[core].change(line, E)
        l3 = self.l3[domain]
        if l3 is not None:
            l3.change(line, E)

    def _make_room_l2(self, core: int, line: int) -> None:
        victim = self.l2[core].victim(line)
        if victim is None:
            return
        state = self.l2[core].get(victim)
        self.l2[core].change(victim, I)
        if self.specification.inclusive and self._drop_first_level(core, victim, OWN):
            state = M
        kind = {S: "SHARED", E: "CLEAN", M: "DIRTY"}[state]
        self._count(core, f"L2_EVICTIONS_{kind}")
        if state == M:
            self._write_outward(core, victim)
        self._copy_left(core, victim, state != S)

    def _drop_first_level(self, core: int, line: int, cause: str) -> bool:
        """Take the line out of L1D and L1I; True when L1D had new data."""
        state = self.l1d[core].get(line)
        if state != I:
            self.l1d[core].change(line, I)
            self._count(core, f"L1D_LOST_{cause}_{state.name}")
        elif self.specification.inclusive and line in self.maybe_l1d[core]:
            self._count(core, "L1D_LOST_OWN_NONE" if cause == OWN else "L1D_LOST_ELSE_NONE")
        self.maybe_l1d[core].discard(line)
        if self.l1i[core].get(line) != I:
            self.l1i[core].change(line, I)
            self._count(core, "L1I_LOST")
        return state == M

    def _write_outward(self, core: int, line: int) -> None:
        """New data of a victim goes to the next level that has the line."""
        l3 = self.l3[self._core(core).domain]
        if self.l2[core].get(line) != I:
            self.l2[core].change(line, M)
        elif l3 is not None and l3.get(line) != I:
            l3.change(line, M)
        else:
            self._write_back(core, line)

    # --- copies of one core, as its domain sees them -------------------------------------------

    def _copy_left(self, core: int, line: int, was_owned: bool) -> None:
        """The core gave up one of its copies: what must its directory hear?

        Nothing while another copy gives the same right.  Owners always tell; sharers unless
        shared evictions are silent.
        """
        state = self._state(core, line)
        if state in (E, M):
            return
        domain = self._domain(core)
        if domain.has_directory:
            entry = self.directories[domain.index].get(line)
            if entry is not None:
                if entry.owner == core:
                    entry.owner = None
                if state == I and (was_owned or not self.specification.silent_shared):
                    entry.forget(core)
                    self._drop_if_empty(self.directories[domain.index], line)
        if state == I:
            self._domain_left(domain, line)

    def _invalidate(self, core: int, line: int, cause: str) -> bool:
        """Take every private copy of the line; True when there was new data."""
        state = self.l2[core].get(line)
        self.l2[core].change(line, I)
        if self.specification.inclusive and state == I:
            return False
        return self._drop_first_level(core, line, cause) or state == M

    def _downgrade(self, core: int, line: int) -> bool:
        """The owner becomes a sharer; True when it had new data."""
        self._count(core, "L2_DOWNGRADES")
        inner, outer = self.l1d[core].get(line), self.l2[core].get(line)
        if inner in (E, M) and self.specification.drops_owner_l1:
            self.l1d[core].change(line, I)
            self.maybe_l1d[core].discard(line)
            self._count(core, f"L1D_LOST_REMOTE_{inner.name}")
        self.l1d[core].change(line, S)
        self.l2[core].change(line, S)
        return M in (inner, outer)

    # --- third level -------------------------------------------------------------------------

    def _third_level(
        self, core: int, store: bool, line: int, upgrade: bool
    ) -> tuple[Served, State]:
        """Ask beyond the private caches; (who served, state the core's L2 gets)."""
        domain, l3 = self._domain(core), self.l3[self._core(core).domain]
        if l3 is None:
            exclusive = self._ask_domains(core, line, store=store)
            return self._memory(core, line), E if exclusive else S
        self._count(core, "L3_ACCESSES")
        if l3.get(line) != I:
            l3.touch(line)
        entry = self._listed(domain, line) if domain.has_directory else Entry()
        if entry.owner is not None:
            served, state = self._from_owner(core, store, line, entry.owner)
        else:
            served, state = self._from_domain(core, store, line, upgrade, entry)
        if domain.has_directory:
            own = self.directories[domain.index].setdefault(line, Entry())
            if state == S:
                own.holders.add(core)
                own.owner = None
            else:
                own.give(core)
        return served, state

    def _from_owner(self, core: int, store: bool, line: int, owner: int) -> tuple[Served, State]:
        """Another core below this L3 has the line in E or M and supplies it."""
        prices, l3 = self._core(core).prices, self.l3[self._core(core).domain]
        assert l3 is not None and owner != core
        self._count(core, "L3_OWNED_STORE" if store else "L3_OWNED_LOAD")
        self._count(core, "L3_TRANSFERS")
        self._count(core, "L3_TRANSFER_WAITS")
        self.cost += prices.l3 + prices.l3_transfer
        if store:
            self._count(owner, "L2_OWNERSHIP_LOST")
            return Served.PEER, M if self._invalidate(owner, line, REMOTE) else E
        dirty = self._downgrade(owner, line)
        self._count(core, "L3_DOWNGRADED_DIRTY" if dirty else "L3_DOWNGRADED_CLEAN")
        self._keep_in_l3(core, line, E)
        if dirty:
            l3.change(line, M)
        return Served.PEER, S

    def _keep_in_l3(self, core: int, line: int, state: State) -> None:
        """Data passing through the L3 stays there; only `nine` can lack the line here."""
        l3 = self.l3[self._core(core).domain]
        assert l3 is not None
        if l3.get(line) == I:
            self._make_room_l3(core, line)
            l3.insert(line, state)

    def _from_domain(
        self, core: int, store: bool, line: int, upgrade: bool, entry: Entry
    ) -> tuple[Served, State]:
        """No other core owns the line: the L3, a sharer below it, or memory supplies it."""
        domain, prices = self._domain(core), self._core(core).prices
        l3 = self.l3[domain.index]
        assert l3 is not None
        in_l3 = l3.get(line) != I
        others = sorted(entry.holders - {core})
        supplied = not in_l3 and not upgrade and any(self._has_data(c, line) for c in others)
        absent = not (in_l3 or upgrade or supplied)
        if absent:
            state_name = "ABSENT"
        else:
            self.cost += prices.l3
            state_name = "SHARED" if entry.holders else "VALID"
        request = "UPGRADES" if upgrade else f"{state_name}_{'STORE' if store else 'LOAD'}"
        self._count(core, f"L3_{request}")
        if supplied:
            self._count(core, "L3_TRANSFERS")
        if supplied or (store and others):
            self._count(core, "L3_TRANSFER_WAITS")
            self.cost += prices.l3_transfer
        if store:
            for other in others:
                self._send_invalidation(core, other, line)
        if absent:
            self._make_room_l3(core, line)
        # Between domains a load that the L3 serves asks nobody: the L3's own state says enough.
        if absent or store:
            exclusive = self._ask_domains(core, line, store=store)
        else:
            exclusive = self._domain_owns(domain, line)
        if absent:
            l3.insert(line, E if exclusive else S)
        elif supplied and not store:
            self._keep_in_l3(core, line, E if exclusive else S)
        elif store and l3.get(line) == S:
            l3.change(line, E)
        listed = entry.holders if self.specification.silent_shared else set(others)
        state = E if store or (exclusive and not listed) else S
        if absent:
            return self._memory(core, line), state
        if upgrade:
            return Served.UPGRADE, state
        return Served.PEER if supplied else Served.L3, state

    def _send_invalidation(self, requester: int, core: int, line: int) -> None:
        """One INV below an L3."""
        self._count(requester, "L3_INVALIDATIONS")
        self._count(core, "L2_INVALIDATIONS")
        if self._state(core, line) == I:
            self._count(core, "L2_INVALIDATIONS_NONE")
        self._invalidate(core, line, REMOTE)

    def _make_room_l3(self, core: int, line: int) -> None:
        domain = self._domain(core)
        l3 = self.l3[domain.index]
        assert l3 is not None
        victim = l3.victim(line)
        if victim is None:
            return
        dirty = l3.get(victim) == M
        entry = self._listed(domain, victim)
        who = "OWNED" if entry.owner is not None else "SHARED" if entry.holders else "VALID"
        self._count(core, f"L3_EVICTED_{who}_{'DIRTY' if dirty else 'CLEAN'}")
        l3.change(victim, I)
        if self.specification.inclusive:
            for holder in sorted(entry.holders):
                self._count(core, "L3_RECALLS")
                recalled = self._recall(holder, victim)
                if holder == entry.owner:
                    self._count(core, "L3_RECALLED_DIRTY" if recalled else "L3_RECALLED_CLEAN")
                dirty = dirty or recalled
            self.directories[domain.index].pop(victim, None)
        if dirty:
            self._write_back(core, victim)
        self._domain_left(domain, victim)

    def _recall(self, core: int, line: int) -> bool:
        """Back-invalidate one core; True when it had new data."""
        state = self._state(core, line)
        self._count(core, "L2_RECALLS")
        if state == I:
            self._count(core, "L2_RECALLS_NONE")
        if state in (E, M):
            self._count(core, "L2_RECALLS_OWNER")
        return self._invalidate(core, line, RECALL)

    # --- memory ------------------------------------------------------------------------------

    def _memory(self, core: int, line: int) -> Served:
        prices = self._core(core).prices
        if self._is_local(core, line):
            self._count(core, "MEMORY_LOCAL")
            self.cost += prices.memory
            return Served.MEMORY_LOCAL
        self._count(core, "MEMORY_REMOTE")
        self.cost += prices.remote
        return Served.MEMORY_REMOTE

    def _write_back(self, core: int, line: int) -> None:
        """New data goes to the line's home; the requester whose access caused it pays."""
        prices = self._core(core).prices
        if self._is_local(core, line):
            self._count(core, "WRITE_BACKS_LOCAL")
            self.cost += prices.memory
        else:
            self._count(core, "WRITE_BACKS_REMOTE")
            self.cost += prices.remote

    # --- between domains ---------------------------------------------------------------------

    def _domain_left(self, domain: Domain, line: int) -> None:
        """A copy in the domain is gone: if it was the last, tell the snoop filter."""
        if self._domain_holds(domain, line):
            return
        entry = self.filter.get(line) if self.specification.has_filter else None
        owned = entry is not None and entry.owner == domain.index
        if owned or (not self.specification.silent_shared):
            self.directories[domain.index].pop(line, None)
            if entry is not None:
                entry.forget(domain.index)
                self._drop_if_empty(self.filter.lines(line), line)

    def _ask_domains(self, core: int, line: int, *, store: bool) -> bool:
        """Get the line, or the right to store, from other domains; True when none keeps it."""
        if not self.specification.has_filter:
            return True
        prices, domain = self._core(core).prices, self._core(core).domain
        entry = self._entry(core, line)
        if entry.owner == domain:
            return True
        others = sorted(entry.holders - {domain})
        if store:
            dirty = [self._snoop_invalidate(core, other, line) for other in others]
            if others:
                self._count(core, "SNOOP_INVALIDATE_WAITS")
                self.cost += prices.snoop_invalidate
            entry.give(domain)
            if any(dirty):
                self._write_back(core, line)
            return True
        listed = entry.holders if self.specification.silent_shared else set(others)
        if entry.owner is not None:
            self._count(core, "SNOOP_DATA_WAITS")
            self.cost += prices.snoop_data
            if self._snoop_data(core, entry.owner, line):
                self._write_back(core, line)
            entry.owner = None
        elif not listed:
            entry.give(domain)
            return True
        entry.holders.add(domain)
        return False

    def _entry(self, core: int, line: int) -> Entry:
        """The line's entry, made most recently used; a full set gives up its oldest one."""
        lines = self.filter.lines(line)
        if line not in lines and len(lines) == self.filter.ways:
            self._evict_entry(core, next(iter(lines)))
        lines[line] = lines.pop(line) if line in lines else Entry()
        return lines[line]

    def _evict_entry(self, core: int, line: int) -> None:
        entry = self.filter.lines(line).pop(line)
        dirty = False
        for holder in sorted(entry.holders):
            self._count(core, "BACK_INVALIDATE_SENT")
            self._count(self._first(holder), "BACK_INVALIDATE_RECEIVED")
            dirty = self._invalidate_domain(holder, line, RECALL) or dirty
        self._count(core, "BACK_INVALIDATE_WAITS")
        self.cost += self._core(core).prices.back_invalidate
        if dirty:
            self._write_back(core, line)

    def _snoop_invalidate(self, core: int, domain: int, line: int) -> bool:
        self._count(core, "SNOOP_INVALIDATE_SENT")
        self._count(self._first(domain), "SNOOP_INVALIDATE_RECEIVED")
        return self._invalidate_domain(domain, line, REMOTE)

    def _snoop_data(self, core: int, domain: int, line: int) -> bool:
        self._count(core, "SNOOP_DATA_SENT")
        self._count(self._first(domain), "SNOOP_DATA_RECEIVED")
        entry = self._listed(self.specification.domains[domain], line)
        dirty = entry.owner is not None and self._downgrade(entry.owner, line)
        entry.owner = None
        l3 = self.l3[domain]
        if l3 is not None:
            dirty = dirty or l3.get(line) == M
            l3.change(line, S)
        return dirty

    def _invalidate_domain(self, domain: int, line: int, cause: str) -> bool:
        """Take every copy of the line in a domain; True when there was new data."""
        entry = self._listed(self.specification.domains[domain], line)
        dirty = False
        for core in sorted(entry.holders):
            if cause == RECALL:
                dirty = self._recall(core, line) or dirty
                continue
            owner = core == entry.owner
            self._count(core, "L2_OWNERSHIP_LOST" if owner else "L2_INVALIDATIONS")
            if not owner and self._state(core, line) == I:
                self._count(core, "L2_INVALIDATIONS_NONE")
            dirty = self._invalidate(core, line, cause) or dirty
        self.directories[domain].pop(line, None)
        l3 = self.l3[domain]
        if l3 is not None:
            dirty = dirty or l3.get(line) == M
            l3.change(line, I)
        return dirty
