"""Several data sets as one: their names of classes, their copies, their folders."""
