# syntax=a b c
FROM a
