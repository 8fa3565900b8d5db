"""How large a deployment must be."""
