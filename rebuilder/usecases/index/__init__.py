"""What each task stands on and makes, read and kept."""
