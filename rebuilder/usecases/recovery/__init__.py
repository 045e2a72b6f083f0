"""Messages that fail, and the way back for them."""
