"""What operators decided, looked up and carried out."""
