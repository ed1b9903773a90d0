"""Configurations of other systems, brought into ours; what has no equivalent is told."""
