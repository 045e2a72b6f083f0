"""What registries and Event Grid tell."""
