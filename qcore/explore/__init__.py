"""Questions over many runs: the front, comparable runs, how a budget is spent."""
