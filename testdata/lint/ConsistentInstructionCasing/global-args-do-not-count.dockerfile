arg A
arg B
arg C
FROM a
run x
