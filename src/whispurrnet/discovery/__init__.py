"""Floor 4: who is there, and where."""
