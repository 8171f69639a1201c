"""Floor 1: primitives with field-standard names; knows bytes."""
