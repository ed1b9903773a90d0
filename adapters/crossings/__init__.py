"""Contacts that cross to other cells: brought there, received here, and what is asked before."""
