"""The Scales page's parts."""
