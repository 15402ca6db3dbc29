"""Text as models want it: captions, prompts, tokens."""
