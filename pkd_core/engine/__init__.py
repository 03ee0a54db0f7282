"""Models, teacher states, training, extraction and evaluation."""
