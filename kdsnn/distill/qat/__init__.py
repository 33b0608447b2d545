"""Fine-tuning through the rounding (QAT), and what it costs to quantize each layer alone."""
