"""`crustwatch cloud bench`: speed and memory of the model, as ratios within one run."""
