"""A folder of videos looked through and written anew for training."""
