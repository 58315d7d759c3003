"""Networks: where they come from, what their parts are called, and how to change them and back."""
