"""Hot guest code translated to native code in the background, with the same results to the cycle."""
