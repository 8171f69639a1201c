"""Floor 4: reaching and being reached where no direct link can be made."""
