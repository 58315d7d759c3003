"""OCP Microscaling: blocks of 32 with a shared power of two."""
