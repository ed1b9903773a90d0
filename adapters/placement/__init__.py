"""Which engine has which cell, where several share a Redis and a list of cells."""
