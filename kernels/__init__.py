"""Operations that runs spend their time in: a torch reference that is the truth, and fast twins.

Tensors and plain numbers in, tensors out; nothing here knows a Format, a model or a recipe.
(transformers looks for a package called `kernels`; ours carries no version, so it is passed over.)
"""
