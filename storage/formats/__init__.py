"""How a value becomes bytes and comes back: one module a format."""
