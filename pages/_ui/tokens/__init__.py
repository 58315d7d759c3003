"""A run's tokens on a page: what is known of them, their statistics, and how to have them again."""
