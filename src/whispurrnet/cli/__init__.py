"""The command line: `whispurr`. It talks to the running node by its REST API."""
