"""TensorFlow Lite files counted from their graphs."""
