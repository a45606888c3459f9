"""How guest code runs: the engine interface, the reference stream, and the engines behind it."""
