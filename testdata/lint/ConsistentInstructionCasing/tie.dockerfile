FROM a
run x
