"""Why runs fail, as far as their logs tell."""
