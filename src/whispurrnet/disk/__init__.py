"""Floor 6: what is kept, if anything is."""
