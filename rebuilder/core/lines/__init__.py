"""Limits of what is under way at once, and who is next."""
