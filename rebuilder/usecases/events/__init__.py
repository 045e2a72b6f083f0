"""Events come in and are written down before they are acknowledged."""
