"""Annotation files of public data sets, one room per family of formats, and the generic form that all become."""
