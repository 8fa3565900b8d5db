"""The folds, their stages and the engine that runs them."""
