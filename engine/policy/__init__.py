"""Policies: documents, their expressions over signals, triggers, guards and shares; all pure."""
