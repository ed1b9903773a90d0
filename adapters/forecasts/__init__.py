"""What an engine expects of its queues, for people: as a table, and as a page with plots."""
