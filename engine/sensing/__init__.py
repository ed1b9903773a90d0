"""Sensing of one cell: readings in, a picture of every queue and of its next hours out."""
