"""What the pages share: knobs, frames, charts, and the words and colours they use."""
