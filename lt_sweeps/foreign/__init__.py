"""Users' own code: which of it a result depends on, and which files it reads."""
