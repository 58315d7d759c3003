"""What others get to see: bundles of runs, and boards that are dashboards by themselves."""
