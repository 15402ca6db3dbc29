"""Official checkpoints in, our own format out."""
