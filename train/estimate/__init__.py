"""Memory, speed and price of a run before it starts: by closed form from config.json, or by trying two depths."""
