# check=skip
FROM a AS B
