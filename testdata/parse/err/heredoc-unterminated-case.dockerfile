FROM a
RUN <<EOF
x
eof
