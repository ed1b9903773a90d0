"""Tests. A package, or the `tests` that ciw installs would be found in its place."""
