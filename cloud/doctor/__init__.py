"""`crustwatch doctor`: what this machine is, which engine fits it, and why."""
