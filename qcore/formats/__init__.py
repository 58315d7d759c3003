"""Number formats as values: what a code means, and how many bits it really costs."""
