"""What is measured to be looked at, not to be used by the next stage."""
