"""What the engine would do: the same transitions under made-up callers, agents and time."""
