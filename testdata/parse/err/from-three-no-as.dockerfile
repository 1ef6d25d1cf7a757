FROM a b c
