"""Stages, what they read, and which a target reaches; BuildKit's package `dockerfile2llb`."""
