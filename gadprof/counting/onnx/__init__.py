"""ONNX files counted from their graphs."""
