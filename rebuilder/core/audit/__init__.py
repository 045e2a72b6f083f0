"""Whether everything that was pushed has had its effect."""
