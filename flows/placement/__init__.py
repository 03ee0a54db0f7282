"""Where the stages of a flow run are computed: in threads of its process, or by Ray on this machine or a cluster."""
