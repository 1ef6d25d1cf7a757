FROM a
LABEL a=b "c.d"="e" f='g'
LABEL multi.line="a \
 b"
LABEL old style here
