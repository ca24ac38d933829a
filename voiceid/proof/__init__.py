"""Proof, by attack."""
