"""Measurements that belong in no test."""
