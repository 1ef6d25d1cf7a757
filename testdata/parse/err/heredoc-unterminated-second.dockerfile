FROM a
COPY <<a <<b /d/
x
a
y
