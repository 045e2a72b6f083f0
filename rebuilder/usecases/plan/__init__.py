"""What a push means for each task that may stand on the image."""
