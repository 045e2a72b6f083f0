"""What ARM manages: one file per resource type, each with its ROUTES."""
