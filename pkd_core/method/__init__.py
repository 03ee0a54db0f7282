"""The method: the three losses and the layer maps, in torch and plain numbers, without models or configuration."""
