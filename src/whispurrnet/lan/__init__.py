"""Floor 6: being seen on the local network."""
