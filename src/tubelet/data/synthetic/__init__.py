"""Videos whose content is known, drawn here: sets to learn from, to test with and to audit."""
