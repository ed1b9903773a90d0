"""Decide: which policies are on for which queues, and what share of contacts they act on."""
