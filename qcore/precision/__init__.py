"""Which layer gets which format under a bit budget, and what each choice costs."""
