FROM a
\
RUN a
