"""One training loop, and what it is wired from."""
