"""A household's own Voice ID."""
