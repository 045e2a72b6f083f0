"""From the text of a Dockerfile to its syntax tree; BuildKit's package `parser`."""
