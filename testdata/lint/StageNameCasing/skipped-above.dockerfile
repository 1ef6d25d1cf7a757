FROM scratch
# check=skip=StageNameCasing
FROM a AS Base
FROM a AS Other
