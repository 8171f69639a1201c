"""FileSync: a folder kept the same on several nodes; start with `filesync`, then `model`."""
