"""What every stage shares: parameters, paths, the dataset's layout, errors, and the stage runner."""
