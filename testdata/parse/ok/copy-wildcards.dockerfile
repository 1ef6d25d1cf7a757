FROM a
COPY *.txt [a-z]? /d/
