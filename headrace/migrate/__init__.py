"""Adds partitions to a deployment: a new generation of its internal topics."""
