"""Floor 6: bytes from here to there, over whatever path exists."""
