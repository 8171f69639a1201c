"""Floor 4: messages from one peer to another."""
