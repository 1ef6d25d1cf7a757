ARG =x
FROM a
ARG =y z
