"""Several hosts on this machine, and the servers and runs on them."""
