"""Azure Container Registry's own terms: references, registries, images, tasks, runs."""
