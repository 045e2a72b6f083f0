"""Deployments of templates: what they put, and what they would change."""
