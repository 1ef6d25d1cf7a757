# check=what=x
FROM a AS B
