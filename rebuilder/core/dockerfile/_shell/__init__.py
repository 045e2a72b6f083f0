"""Words and variables; BuildKit's package `shell`."""
