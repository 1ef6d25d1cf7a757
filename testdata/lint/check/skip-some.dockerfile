# check=skip=MaintainerDeprecated,StageNameCasing;error=true
FROM a AS B
MAINTAINER x
CMD y
