"""Commands for what was given up."""
