"""The same work done by four other networks, each in its ordinary way, everything encrypted."""
