"""Parts that two or more families are built of."""
