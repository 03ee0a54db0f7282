"""`pkd compress`: from a file of texts and labels, and a classifier if there is one, to a smaller and faster one."""
