"""The HTTP service: wiring, auth, routes, problems."""
