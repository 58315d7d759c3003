"""What the numbers of a tensor look like: outliers, block masses, bounds."""
