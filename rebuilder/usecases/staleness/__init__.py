"""How long tasks stand on old bases: worked out from the ledger, and summed up by the day."""
