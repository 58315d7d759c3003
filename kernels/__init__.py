"""Operations that every run spends its time in: a torch reference that is the truth, fast twins."""
