"""The form's controls, section by section: a row for each knob."""
