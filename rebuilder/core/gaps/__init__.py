"""What Azure's own trigger does not see."""
