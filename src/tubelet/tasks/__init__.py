"""What a run optimizes and how it is judged."""
