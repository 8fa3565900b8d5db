"""A page for trying the API out, served at `/`: static files, and what they are told."""
