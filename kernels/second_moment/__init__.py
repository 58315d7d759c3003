"""Add XᵀX of some tokens to a second moment, in float32."""
