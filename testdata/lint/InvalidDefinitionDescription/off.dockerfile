# wrong words
ARG A=1
FROM a
