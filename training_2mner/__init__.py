"""What stays at home: arguments, data, training, scores and the model card."""
