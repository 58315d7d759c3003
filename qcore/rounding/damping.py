"""What each method adds to the diagonal of H where nobody says how much."""

DAMPING = {"rtn": 0.0, "gptq": 0.01, "gpfq": 1e-6, "qronos": 1e-6}
"""Each method's own damping: of mean diag H; for Qronos, of σ_max(H)."""
