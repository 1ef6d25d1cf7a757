FROM a
COPY \
 a
FOO
