"""Rebuilds, their messages, their pace, and how they are written down."""
