"""Routing's own rules above the kernels: validation, classes of contacts, strategies."""
