"""The engine: state, checkpoint, restore, stage."""
