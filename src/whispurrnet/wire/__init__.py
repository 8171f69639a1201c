"""Floor 2: what travels; knows bytes and ids."""
