"""Command lines, and what the programs in them do."""
