"""The Suffixes page's parts."""
