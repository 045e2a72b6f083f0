"""Tasks, runs and images as ARM and the registries tell them."""
