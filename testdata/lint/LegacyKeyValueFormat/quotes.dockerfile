FROM a
ENV A say "x y"
