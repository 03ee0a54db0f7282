"""The paper's search over all of GLUE on 1 to 1,000 GPUs, simulated: `python -m benchmarks.simulation`."""
