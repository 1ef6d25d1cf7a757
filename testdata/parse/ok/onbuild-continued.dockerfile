FROM a
ONBUILD RUN a \
  && b
