"""Moving a cell from where it is kept to somewhere else."""
