# syntax=x
FROM a
RUN a \
  b
COPY <<E /x
one
E
RUN c
