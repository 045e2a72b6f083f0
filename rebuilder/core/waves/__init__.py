"""Waves: the tasks that a push reaches, directly or through images that those tasks push."""
