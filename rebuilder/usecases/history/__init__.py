"""What is kept of the past: looked up in small pieces, and let go of in time."""
