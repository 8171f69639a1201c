"""Floor 7: the running node; asyncio meets the stack."""
