FROM a
COPY <<one <<"two" three /d/
$A
one
$B
two
