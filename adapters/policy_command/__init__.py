"""`headgate policy`: checks files of policies, and brings them to an engine."""
