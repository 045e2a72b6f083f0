"""What tasks stand on, and how that is known."""
