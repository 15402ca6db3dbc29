"""Models handed on: in the layouts of others, with a card, and to the hub."""
