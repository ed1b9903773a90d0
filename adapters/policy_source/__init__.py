"""Policies from the outside: expressions checked by the official implementation of CEL."""
