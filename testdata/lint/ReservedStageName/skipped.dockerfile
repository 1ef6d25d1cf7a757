# check=skip=ReservedStageName
FROM a AS scratch
