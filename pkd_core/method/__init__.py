"""The method in torch and numbers alone: the three losses and the layer maps."""
