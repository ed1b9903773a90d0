"""Policies in force: compiled, evaluated beside sensing, and given to the engine as commands."""
