"""What the method is: data, models, losses, training, extraction, evaluation and the stage store."""
