"""Telling people and machines what happened, so that no receiver slows a rebuild."""
