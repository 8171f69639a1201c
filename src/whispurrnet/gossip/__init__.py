"""Floor 4: spreading messages by intent."""
