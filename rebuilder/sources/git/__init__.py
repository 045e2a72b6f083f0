"""Build files out of Git repositories, by host and by protocol."""
