"""HTTPS with limits, for every adapter that asks hosts which others name."""
