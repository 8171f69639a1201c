"""Floor 4: objects, named by what they are: how they are cut, moved, compared and let see."""
