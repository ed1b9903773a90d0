"""Sensing beside the loop: its thread, the feeds of readings, and what is told of it."""
