"""What protects a training, or what a trained model says of itself: one file each, named blocks `defences` of a config."""
