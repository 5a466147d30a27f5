"""How to speak with one kind of thing."""
