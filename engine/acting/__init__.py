"""Act: what policies that are on do with contacts, and what comes of it."""
