FROM a AS b
# check=skip=DuplicateStageName
FROM c AS b
