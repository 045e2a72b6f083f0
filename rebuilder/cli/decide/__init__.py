"""Commands by which operators say when things are rebuilt."""
