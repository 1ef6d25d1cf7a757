FROM a as b
from a AS c
FROM a As d
