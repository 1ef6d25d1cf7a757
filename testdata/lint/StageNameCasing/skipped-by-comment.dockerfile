# check=skip=StageNameCasing
# x
FROM a AS Base

# check=skip=StageNameCasing
FROM a AS Other
FROM a AS Third
