"""Commands about the set-up itself."""
