"""The site's certificate authority, and what its certificates say: who may speak for which gateway or worker.

`cryptography` does the work and is loaded by the modules that need it; `crustwatch --help` reads this line alone.
"""
