"""Models for ONNX Runtime and OpenVINO: `python -m training_2mner.export RUN OUTPUT --to onnx`."""
