"""Training of the miniature models; each module is a command of its own."""
