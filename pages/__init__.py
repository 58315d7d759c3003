"""What a user sees: widgets to Recipe, Report to figure. No tensors, no arithmetic."""
