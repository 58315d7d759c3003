"""Second moments XᵀX, accumulated in float32."""
