"""Commands that tell what is and what was."""
