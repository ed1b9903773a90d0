"""The page that a simulation's results are read on: one file of HTML that needs nothing else."""
