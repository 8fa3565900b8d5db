"""Training a ranker from what was shown, and what was done then."""
