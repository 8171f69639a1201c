"""Floor 8: what people build on a node."""
