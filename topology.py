"""The apps and their wiring."""
