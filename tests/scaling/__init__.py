"""How far spools carry: measured small cases, a simulation of large ones, and what both say."""
