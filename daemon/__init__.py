"""asyncio: what the process is."""
