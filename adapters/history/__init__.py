"""A queue's past from a file: read, checked, counted by five minutes, and sent to an engine."""
