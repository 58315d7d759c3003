"""The Jobs page's parts."""
