"""Answers for people: why, what, and whether all is well."""
