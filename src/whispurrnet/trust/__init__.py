"""Floor 4: whom to believe, and how far."""
