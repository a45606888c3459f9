"""A node on a host that does not share memory with the memory system: its pages travel by turns."""
