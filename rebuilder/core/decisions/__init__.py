"""Why a task is rebuilt, or is not."""
