"""Floor 4: from bytes to an authenticated channel."""
