FROM a
COPY <<$A /d/
x
$A
