"""Jobs: recipes waiting, running and done, each in a process of its own."""
