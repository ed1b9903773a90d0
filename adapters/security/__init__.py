"""Who calls, over what, and what they may do."""
