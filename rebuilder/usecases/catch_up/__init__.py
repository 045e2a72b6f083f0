"""What events did not tell: the sweep, and the poll of registries that send none."""
