"""Instructions, and what is checked of them; BuildKit's package `instructions`."""
