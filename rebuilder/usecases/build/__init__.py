"""A rebuild from its claim to its outcome."""
