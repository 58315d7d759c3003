"""What a run would cost and whether it fits, told before it starts."""
