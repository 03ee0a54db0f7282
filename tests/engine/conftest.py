"""Computes on one thread: tiny models gain nothing from more, and threads that wait for each other lose minutes."""

import torch

torch.set_num_threads(1)
