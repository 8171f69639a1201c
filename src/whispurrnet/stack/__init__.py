"""Floor 5: the whole node as one core."""
