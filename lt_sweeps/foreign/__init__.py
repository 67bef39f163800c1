"""Code that is not ours: which of it a result is made by, and which files it reads."""
