"""What published implementations computed, recorded, and whether tubelet computes the same on this machine."""
