"""What the engine does with each command: look rows up, run the transition, tell the outcome."""
