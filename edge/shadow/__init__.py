"""A challenger beside the champion: it sees the same frames, and decides nothing."""
