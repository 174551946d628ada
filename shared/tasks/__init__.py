"""The task files shipped with crustwatch."""
