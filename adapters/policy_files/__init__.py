"""Policies from files of a folder, as long as the process runs."""
