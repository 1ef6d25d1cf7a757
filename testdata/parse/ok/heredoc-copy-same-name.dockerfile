FROM a
COPY <<a <<a /d/
first
a
second
a
