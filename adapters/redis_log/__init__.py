"""A cell's commit log in Redis or Valkey."""
