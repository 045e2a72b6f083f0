"""How long tasks stand on an old base: what a team can promise, and what keeps it from that."""
