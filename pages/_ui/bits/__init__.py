"""The Bits page's parts."""
