"""Which knob matters: runs as lines over all knobs, and what each knob explains."""
