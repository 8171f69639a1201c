"""The main job, shown: real nodes in real processes, driven and watched by `whispurr demo`."""
