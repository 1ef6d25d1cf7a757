FROM a
COPY a\
b /d\
e
